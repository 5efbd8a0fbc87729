"""model.py and augment.py: shapes and numbers, against SciPy."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import scipy.stats

import augment
import input_data
import model
from common.session import tf

CNN = model.ARCHITECTURES["cnn"]
ODD = {"kernel_size": 3, "conv_1_filters": 5, "conv_2_filters": 7, "fc_units": 11}


@pytest.fixture
def session() -> Iterator[tf.Session]:
    """A Session in a graph of its own."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(7)
        yield session


def placeholder() -> tf.Tensor:
    return tf.placeholder(tf.float32, [None, 28, 28, 1])


def test_variables_are_those_of_the_article(session: tf.Session) -> None:
    model.inference(placeholder(), "cnn", CNN)
    shapes = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
    assert shapes == {
        "layer_1/w_variable": [5, 5, 1, 32],
        "layer_1/b_variable": [32],
        "layer_2/w_variable": [5, 5, 32, 64],
        "layer_2/b_variable": [64],
        "full_connection_1/w_variable": [3136, 1024],
        "full_connection_1/b_variable": [1024],
        "full_connection_2/w_variable": [1024, 10],
        "full_connection_2/b_variable": [10],
    }


def numpy_logits(images: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Compute the network in float64, convolution by convolution."""
    x = images.reshape(-1, 28, 28, 1).astype(np.float64)
    for scope in ("layer_1", "layer_2"):
        kernel = weights[f"{scope}/w_variable"]
        bias = weights[f"{scope}/b_variable"]
        maps = []
        for channel, b in enumerate(bias):
            summed = sum(
                scipy.ndimage.correlate(
                    x[..., c], kernel[np.newaxis, :, :, c, channel], mode="constant"
                )
                for c in range(x.shape[3])
            )
            maps.append(np.maximum(summed + b, 0))
        x = np.stack(maps, axis=-1)
        x = np.maximum(x[:, ::2], x[:, 1::2])
        x = np.maximum(x[:, :, ::2], x[:, :, 1::2])
    x = x.reshape(len(x), -1)
    fc_1, fc_2 = "full_connection_1", "full_connection_2"
    x = np.maximum(x @ weights[f"{fc_1}/w_variable"] + weights[f"{fc_1}/b_variable"], 0)
    return x @ weights[f"{fc_2}/w_variable"] + weights[f"{fc_2}/b_variable"]


@pytest.mark.parametrize("architecture", [ODD, CNN])
def test_logits_agree_with_numpy(session: tf.Session, architecture: dict) -> None:
    images_in = placeholder()
    logits = model.inference(images_in, "cnn", architecture)
    rng = np.random.default_rng(0)
    for variable in tf.trainable_variables():  # biases too must matter
        noise = rng.normal(0, 0.1, variable.shape.as_list())
        session.run(variable.initializer)
        variable.load(noise.astype(np.float32), session)
    weights = {
        v.op.name: session.run(v).astype(np.float64) for v in tf.trainable_variables()
    }
    images = rng.random((3, 28, 28, 1), dtype=np.float32)
    np.testing.assert_allclose(
        session.run(logits, {images_in: images}),
        numpy_logits(images, weights),
        rtol=1e-4,
        atol=1e-4,
    )


def test_layer_table_counts_every_parameter_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["model.py"])
    model.main()
    lines = capsys.readouterr().out.splitlines()
    counts = [int(line.split()[-1].replace(",", "")) for line in lines[1:]]
    assert counts[-1] == sum(counts[:-1]) == 3_274_634
    assert lines[1].split()[:6] == ["layer_1/relu", "28", "x", "28", "x", "32"]


def test_the_layers_of_another_network_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["model.py", "--network", "mlp_1024_512_256"])
    model.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(row[0], row[-1]) for row in rows] == [
        ("dropout", "0"),
        ("full_connection_1/relu", "803,840"),  # 784 x 1024 + 1024
        ("dropout_1", "0"),
        ("full_connection_2/relu", "524,800"),
        ("dropout_2", "0"),
        ("full_connection_3/relu", "131,328"),
        ("dropout_3", "0"),
        ("full_connection_4/linear", "2,570"),
        ("total", "1,462,538"),
    ]


def test_dropout_and_augmentation_are_off_unless_fed(session: tf.Session) -> None:
    images_in = placeholder()
    step = tf.placeholder_with_default(tf.constant(0, tf.int64), [])
    keep_prob = tf.placeholder_with_default(1.0, [])
    strength = tf.placeholder_with_default(0.0, [])
    key = model.random_key(1, step, stream=0)
    distorted = augment.augment(images_in, augment.AFFINE, strength, key)
    assert distorted.shape.as_list() == [None, 28, 28, 1]
    key = model.random_key(1, step, stream=1)
    logits = model.inference(distorted, "cnn", ODD, keep_prob, key)
    session.run(tf.global_variables_initializer())
    images = np.random.default_rng(0).random((13, 28, 28, 1), dtype=np.float32)

    def run(at: int, feed: dict | None = None) -> np.ndarray:
        return session.run(logits, {images_in: images, step: at} | (feed or {}))

    assert (run(0) == run(1)).all()
    for feed in ({keep_prob: 0.5}, {strength: 1.0}):
        assert (run(0, feed) == run(0, feed)).all()
        assert (run(0, feed) != run(0)).any()
        assert (run(0, feed) != run(1, feed)).any()


def test_dropout_keeps_its_share_and_the_mean(session: tf.Session) -> None:
    x = tf.ones([100, 1024])
    key = model.random_key(3, tf.constant(5), 1)
    kept = session.run(model.dropout(x, tf.constant(0.3), key))
    assert set(np.unique(kept)) == {0, np.float32(1) / np.float32(0.3)}
    # 102,400 draws: five standard deviations are 0.0072.
    assert (kept > 0).mean() == pytest.approx(0.3, abs=0.0072)


def test_cross_entropy_agrees_with_scipy(session: tf.Session) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 40, (13, 10)).astype(np.float32)  # softmax would underflow
    labels = rng.integers(0, 10, 13)
    log_p = scipy.special.log_softmax(logits.astype(np.float64), axis=1)
    for smoothing in (0.0, 0.1):
        targets = np.full((13, 10), smoothing / 10)
        targets[np.arange(13), labels] += 1 - smoothing
        np.testing.assert_allclose(
            session.run(
                model.cross_entropy(logits, model.smoothed_targets(labels, smoothing))
            ),
            -(targets * log_p).sum(axis=1),
            rtol=1e-5,
            atol=1e-5,
        )
    labels_in = tf.constant(labels, tf.int32)
    loss, answers = session.run(model.evaluation(logits, labels_in, "cross_entropy"))
    assert loss == pytest.approx(-log_p[np.arange(13), labels].sum(), rel=1e-5)
    assert (answers == logits.argmax(axis=1)).all()


def test_quadratic_loss_agrees_with_numpy(
    session: tf.Session,
) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (13, 10)).astype(np.float32)
    labels = rng.integers(0, 10, 13)
    outputs = scipy.special.expit(logits.astype(np.float64))
    squares = ((outputs - np.eye(10)[labels]) ** 2).sum(axis=1) / 2
    targets = model.smoothed_targets(labels, 0.0)
    np.testing.assert_allclose(
        session.run(model.quadratic(logits, targets)), squares, rtol=1e-5
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_probabilities_agree_with_scipy(
    temperature: float, session: tf.Session
) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (13, 10)).astype(np.float32)
    found = session.run(model.probabilities(tf.constant(logits), temperature))
    expected = scipy.special.softmax(logits / temperature, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


LAYERS = {
    "mlp_512": [784, 512, 10],
    "mlp_1024_512_256": [784, 1024, 512, 256, 10],
    "mlp_128": [784, 128, 10],
    "sigmoid_30": [784, 30, 10],
}


@pytest.mark.parametrize("network", LAYERS)
def test_fully_connected_networks_have_their_layers(
    network: str, session: tf.Session
) -> None:
    architecture = model.ARCHITECTURES[network]
    model.inference(placeholder(), network, architecture)
    sizes = LAYERS[network]
    expected = {}
    for layer, (size, units) in enumerate(itertools.pairwise(sizes), 1):
        expected[f"full_connection_{layer}/w_variable"] = [size, units]
        expected[f"full_connection_{layer}/b_variable"] = [units]
    found = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
    assert found == expected


@pytest.mark.parametrize("loss", model.LOSSES)
@pytest.mark.parametrize("network", model.NETWORKS)
def test_gradients_agree_with_central_differences(
    network: str, loss: str, session: tf.Session
) -> None:
    rng = np.random.default_rng(0)
    architecture = ODD if network == "cnn" else model.ARCHITECTURES[network]
    x = tf.constant(rng.random((3, 28, 28, 1)))
    with tf.variable_scope("double", dtype=tf.float64):
        key = model.random_key(0, tf.constant(0), 1)
        keep_prob = tf.constant(0.8)
        logits = model.NETWORKS[network](x, keep_prob, key, **architecture)
    targets = tf.cast(model.smoothed_targets([7, 0, 4], 0.1), tf.float64)
    value = tf.reduce_mean(model.LOSSES[loss](logits, targets))
    variables = tf.trainable_variables()
    gradients = tf.gradients(value, variables)
    session.run(tf.global_variables_initializer())
    step = 1e-6
    for variable, gradient in zip(variables, session.run(gradients), strict=True):
        start = session.run(variable)
        direction = rng.normal(size=start.shape)
        ends = []
        for sign in (1, -1):
            variable.load(start + sign * step * direction, session)
            ends.append(session.run(value))
        variable.load(start, session)
        slope = (ends[0] - ends[1]) / (2 * step)
        expected = (gradient * direction).sum()
        assert slope == pytest.approx(expected, rel=1e-5, abs=1e-8), variable.op.name


def test_sigmoid_30_trains_as_plain_back_propagation_does(session: tf.Session) -> None:
    pixels = tf.placeholder(tf.float32, [None, 784])
    labels_in = tf.placeholder(tf.int32, [None])
    architecture = model.ARCHITECTURES["sigmoid_30"]
    logits = model.inference(model.as_images(pixels), "sigmoid_30", architecture)
    loss = model.loss(logits, labels_in, "quadratic", 0.0)
    global_step = tf.train.create_global_step()
    train_op, norm = model.training(loss, "sgd", tf.constant(3.0), global_step)
    session.run(tf.global_variables_initializer())
    w_1, b_1, w_2, b_2 = map(np.float64, session.run(tf.trainable_variables()))
    digits = input_data.load("mnist_5k", Path("nowhere"), 0)[1].train
    for step in range(20):
        x, labels = input_data.batch(digits, 0, step, 10)
        feed = {pixels: x, labels_in: labels}
        _, gradient_norm = session.run((train_op, norm), feed)
        # Forward, then the four equations of back-propagation.
        a_1 = 1 / (1 + np.exp(-(x @ w_1 + b_1)))
        a_2 = 1 / (1 + np.exp(-(a_1 @ w_2 + b_2)))
        delta_2 = (a_2 - np.eye(10)[labels]) * a_2 * (1 - a_2)
        delta_1 = delta_2 @ w_2.T * a_1 * (1 - a_1)
        gradients = x.T @ delta_1, delta_1.sum(0), a_1.T @ delta_2, delta_2.sum(0)
        for variable, gradient in zip((w_1, b_1, w_2, b_2), gradients, strict=True):
            variable -= 3.0 / 10 * gradient
        squares = sum(np.sum((gradient / 10) ** 2) for gradient in gradients)
        assert gradient_norm == pytest.approx(np.sqrt(squares), rel=1e-4)
    found = session.run(tf.trainable_variables())
    for variable, expected in zip(found, (w_1, b_1, w_2, b_2), strict=True):
        np.testing.assert_allclose(variable, expected, rtol=0, atol=1e-5)


def test_learning_rate_rises_then_falls_to_zero(session: tf.Session) -> None:
    step = tf.placeholder(tf.int64, [])

    def rates(schedule: str, warmup: float) -> list[float]:
        rate = model.learning_rate(step, 200, 0.3, schedule, warmup)
        return [session.run(rate, {step: at}) for at in (0, 4, 9, 48, 105, 200)]

    rise = [0.03, 0.15, 0.3]
    linear = [*rise, 0.24, 0.15, 0]
    assert rates("linear", 0.05) == pytest.approx(linear, abs=1e-6)
    cosine = [*rise, 0.15 * (1 + math.cos(math.pi / 5)), 0.15, 0]
    assert rates("cosine", 0.05) == pytest.approx(cosine, abs=1e-6)
    assert rates("constant", 0.05) == pytest.approx([*rise, 0.3, 0.3, 0.3])
    assert rates("constant", 0) == pytest.approx([0.3] * 6)


# --------------------------------------------------------------------- random affine


def blob(x: float, y: float) -> np.ndarray:
    rows, columns = np.mgrid[:28, :28]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 4).astype(np.float32)


def moved(
    monkeypatch: pytest.MonkeyPatch,
    session: tf.Session,
    x: float,
    y: float,
    strength: float = 1.0,
    **limits: float,
) -> np.ndarray:
    """Return the places (x, y), in pixels, to which 999 transforms move a blob."""
    for name in augment.AFFINE:
        monkeypatch.setitem(augment.AFFINE, name, limits.get(name, 0.0))
    images = np.tile(blob(x, y)[np.newaxis, :, :, np.newaxis], (999, 1, 1, 1))
    key = model.random_key(1, tf.constant(2), 0)
    result = session.run(
        augment.random_affine(images, augment.AFFINE, tf.constant(strength), key)
    )[..., 0]
    centres = [scipy.ndimage.center_of_mass(image) for image in result]
    return np.array(centres)[:, ::-1]


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    fit = scipy.stats.kstest(values, "uniform", (low, high - low))
    assert fit.pvalue > 1e-3, fit


def test_no_distortion_leaves_images_as_they_are(session: tf.Session) -> None:
    images = np.random.default_rng(0).random((13, 28, 28, 1), dtype=np.float32)
    key = model.random_key(1, tf.constant(2), 0)
    for limits, strength in (
        (dict.fromkeys(augment.AFFINE, 0.0), 1.0),
        (augment.AFFINE, 0.0),
    ):
        distorted = augment.random_affine(images, limits, tf.constant(strength), key)
        np.testing.assert_allclose(session.run(distorted), images, atol=1e-5)


def test_shift_is_uniform_along_both_axes(
    monkeypatch: pytest.MonkeyPatch, session: tf.Session
) -> None:
    dx, dy = (moved(monkeypatch, session, 13.5, 13.5, shift=1.4) - 13.5).T
    assert_uniform(dx, -1.4, 1.4)
    assert_uniform(dy, -1.4, 1.4)
    assert abs(np.corrcoef(dx, dy)[0, 1]) < 0.15


def test_rotation_is_uniform_about_the_centre(
    monkeypatch: pytest.MonkeyPatch, session: tf.Session
) -> None:
    x, y = (moved(monkeypatch, session, 20.5, 13.5, rotation=0.12) - 13.5).T
    assert_uniform(np.arctan2(y, x), -0.12, 0.12)
    np.testing.assert_allclose(np.hypot(x, y), 7, atol=0.05)


def test_scale_and_shear_move_only_along_their_axis(
    monkeypatch: pytest.MonkeyPatch, session: tf.Session
) -> None:
    x, y = (moved(monkeypatch, session, 20.5, 8.5, scaling=0.07) - 13.5).T
    assert_uniform(7 / x - 1, -0.07, 0.07)
    assert_uniform(-5 / y - 1, -0.07, 0.07)
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.15  # each axis on its own
    x, y = (moved(monkeypatch, session, 13.5, 19.5, shear=0.1) - 13.5).T
    assert_uniform(-x / 6, -0.1, 0.1)
    np.testing.assert_allclose(y, 6, atol=0.05)


@pytest.mark.parametrize(
    ("limit", "x", "y"),
    [
        ({"shift": 1.4}, 13.5, 13.5),
        ({"rotation": 0.12}, 20.5, 13.5),
        ({"scaling": 0.07}, 20.5, 8.5),
        ({"shear": 0.1}, 13.5, 19.5),
    ],
)
def test_strength_multiplies_each_range(
    limit: dict[str, float],
    x: float,
    y: float,
    monkeypatch: pytest.MonkeyPatch,
    session: tf.Session,
) -> None:
    whole, half = (
        moved(monkeypatch, session, x, y, strength=strength, **limit) - (x, y)
        for strength in (1.0, 0.5)
    )
    assert np.abs(whole).max() > 0.3
    np.testing.assert_allclose(half, whole / 2, atol=0.08)
