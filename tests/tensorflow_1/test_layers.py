"""contrib's layers: against NumPy and SciPy, and where their variables are."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import ndimage

from common.session import tf
from tensorflow_1 import layers, losses
from tensorflow_1.arg_scope import add_arg_scope, arg_scope

BATCH, HEIGHT, WIDTH, CHANNELS = 5, 7, 9, 3  # odd: no two sizes agree


@pytest.fixture(autouse=True)
def graph() -> Iterator[tf.Graph]:
    """A graph and a Session of its own for each test."""
    with tf.Graph().as_default() as graph, tf.Session():
        tf.set_random_seed(1)
        yield graph


@pytest.fixture
def images() -> np.ndarray:
    """Random images, float32 of shape (5, 7, 9, 3)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(BATCH, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)


def run(*tensors: tf.Tensor, **feed: object) -> list[np.ndarray]:
    """Initialize the variables; return the values of tensors."""
    session = tf.get_default_session()
    session.run(tf.global_variables_initializer())
    return session.run(list(tensors))


def names(key: str = tf.GraphKeys.GLOBAL_VARIABLES) -> list[str]:
    return [variable.op.name for variable in tf.get_collection(key)]


# ------------------------------------------------------------ layers with weights


def test_fully_connected_is_relu_of_a_product(images: np.ndarray) -> None:
    for x in (images[0, 0], images):  # two dimensions, and more
        output = layers.fully_connected(x, 4, biases_initializer=tf.ones_initializer())
        weights, biases = tf.get_collection(tf.GraphKeys.MODEL_VARIABLES)[-2:]
        values, w, b = run(output, weights, biases)
        assert b.tolist() == [1] * 4
        np.testing.assert_allclose(values, np.maximum(x @ w + b, 0), atol=1e-5)
        assert output.shape.as_list() == [*x.shape[:-1], 4]
        limit = np.sqrt(6 / (CHANNELS + 4))  # Glorot's uniform distribution
        assert limit / 2 < np.abs(w).max() <= limit
    assert names() == [
        "fully_connected/weights",
        "fully_connected/biases",
        "fully_connected_1/weights",
        "fully_connected_1/biases",
    ]


@pytest.mark.parametrize(("stride", "rate"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_conv2d_correlates(
    images: np.ndarray, stride: int, rate: int, padding: str
) -> None:
    output = layers.conv2d(
        images, 4, [3, 5], stride, padding, rate=rate, activation_fn=None
    )
    values, kernel = run(output, tf.global_variables()[0])
    assert kernel.shape == (3, 5, CHANNELS, 4)
    wide = np.zeros((2 * rate + 1, 4 * rate + 1, CHANNELS, 4), np.float32)
    wide[::rate, ::rate] = kernel
    full = [
        sum(
            ndimage.correlate(images[i, ..., c], wide[..., c, k], mode="constant")
            for c in range(CHANNELS)
        )
        for i in range(BATCH)
        for k in range(4)
    ]
    full = np.reshape(full, (BATCH, 4, HEIGHT, WIDTH)).transpose(0, 2, 3, 1)
    if padding == "VALID":
        full = full[:, rate : HEIGHT - rate, 2 * rate : WIDTH - 2 * rate]
    # SAME begins where the last step ends at the border: here at the first pixel.
    np.testing.assert_allclose(values, full[:, ::stride, ::stride], atol=1e-4)
    assert names() == ["Conv/weights", "Conv/biases"]


@pytest.mark.parametrize(
    ("padding", "shape"), [("SAME", (14, 18)), ("VALID", (15, 19))]
)
def test_conv2d_transpose_is_the_gradient_of_conv2d(
    images: np.ndarray, padding: str, shape: tuple[int, int]
) -> None:
    x = tf.placeholder_with_default(images, [None, HEIGHT, WIDTH, CHANNELS])
    output = layers.conv2d_transpose(x, 4, 3, 2, padding, activation_fn=None)
    assert output.shape.as_list() == [None, *shape, 4]
    values, kernel = run(output, tf.global_variables()[0])
    assert kernel.shape == (3, 3, 4, CHANNELS)
    # The adjoint: <conv(y), x> == <y, transpose(x)> for any y.
    y = np.random.default_rng(1).normal(size=values.shape).astype(np.float32)
    below = tf.nn.conv2d(y, kernel, 2, padding)
    (below,) = run(below)
    np.testing.assert_allclose((below * images).sum(), (y * values).sum(), rtol=1e-4)
    assert names() == ["Conv2d_transpose/weights", "Conv2d_transpose/biases"]


def test_a_normalizer_takes_the_place_of_biases(images: np.ndarray) -> None:
    layers.conv2d(images, 4, 3, normalizer_fn=layers.batch_norm, scope="a")
    layers.fully_connected(images, 2, biases_initializer=None, scope="b")
    assert [name for name in names() if "Moving" not in name] == [
        "a/weights",
        "a/BatchNorm/beta",
        "a/BatchNorm/moving_mean",
        "a/BatchNorm/moving_variance",
        "b/weights",
    ]


def test_scopes_are_shared_by_reuse_alone(images: np.ndarray) -> None:
    first = layers.conv2d(images, 4, 3, scope="a")
    second = layers.conv2d(images, 4, 3, scope="a", reuse=True)
    other = layers.conv2d(images, 4, 3)
    assert names() == ["a/weights", "a/biases", "Conv/weights", "Conv/biases"]
    values = run(first, second, other)
    assert (values[0] == values[1]).all()
    assert not np.allclose(values[0], values[2])
    with pytest.raises(ValueError, match="already exists"):
        layers.conv2d(images, 4, 3, scope="a")


def test_collections_hold_what_was_asked_for(images: np.ndarray) -> None:
    output = layers.fully_connected(
        images,
        4,
        trainable=False,
        variables_collections={"weights": ["mine"]},
        outputs_collections="outputs",
    )
    assert names("mine") == ["fully_connected/weights"]
    assert tf.trainable_variables() == []
    assert tf.get_collection("outputs") == [output]


# ------------------------------------------------------------------- regularizers


def test_penalties_are_those_of_the_documentation(images: np.ndarray) -> None:
    regularizers = {
        "l1": (layers.l1_regularizer(0.3), lambda w: 0.3 * np.abs(w).sum()),
        "l2": (layers.l2_regularizer(0.3), lambda w: 0.3 * (w**2).sum() / 2),
        "both": (
            layers.l1_l2_regularizer(0.1, 0.2),
            lambda w: 0.1 * np.abs(w).sum() + 0.2 * (w**2).sum() / 2,
        ),
    }
    for name, (regularizer, expected) in regularizers.items():
        layers.fully_connected(images, 4, weights_regularizer=regularizer, scope=name)
        (penalty,) = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES, name)
        value, w = run(penalty, tf.trainable_variables(name)[0])
        np.testing.assert_allclose(value, expected(w), rtol=1e-5)
    assert layers.l2_regularizer(0.0)(tf.ones([3])) is None
    with pytest.raises(ValueError, match="at least 0"):
        layers.l1_regularizer(-0.1)


@pytest.mark.parametrize("mode", ["FAN_IN", "FAN_OUT", "FAN_AVG"])
def test_initial_values_have_the_variance_that_is_asked_for(mode: str) -> None:
    n = {"FAN_IN": 200, "FAN_OUT": 100, "FAN_AVG": 150}[mode]
    for uniform in (True, False):
        initializer = layers.variance_scaling_initializer(2.0, mode, uniform)
        (values,) = run(initializer([200, 100]))
        assert values.var() == pytest.approx(2 / n, rel=0.05)
    (values,) = run(layers.xavier_initializer()([200, 100]))
    assert values.var() == pytest.approx(2 / 300, rel=0.05)


# -------------------------------------------------------------- batch normalization


@pytest.mark.parametrize("rank", [2, 4])
def test_batch_norm_normalizes_and_moves_its_averages(
    images: np.ndarray, rank: int
) -> None:
    x = images if rank == 4 else images[:, 0, 0]
    axes = tuple(range(rank - 1))
    training = tf.placeholder(tf.bool, [])
    output = layers.batch_norm(x, 0.9, scale=True, is_training=training)
    session = tf.get_default_session()
    session.run(tf.global_variables_initializer())
    beta, gamma, moving_mean, moving_variance = tf.global_variables()
    session.run([beta.assign([1, 2, 3]), gamma.assign([4, 5, 6])])
    mean, variance = x.mean(axes), x.var(axes)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    assert len(updates) == 2

    for _ in range(2):  # nothing moves without the updates
        (values,) = session.run([output], {training: True})
    expected = (x - mean) / np.sqrt(variance + 0.001) * [4, 5, 6] + [1, 2, 3]
    np.testing.assert_allclose(values, expected, atol=1e-4)
    (values,) = session.run([output], {training: False})
    expected = x / np.sqrt(1.001) * [4, 5, 6] + [1, 2, 3]
    np.testing.assert_allclose(values, expected, atol=1e-4)

    session.run(updates, {training: False})
    assert session.run(moving_mean).tolist() == [0, 0, 0]
    session.run(updates, {training: True})
    n = x.size // CHANNELS
    np.testing.assert_allclose(session.run(moving_mean), 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(
        session.run(moving_variance), 0.9 + 0.1 * variance * n / (n - 1), rtol=1e-5
    )


def test_batch_norm_without_a_collection_updates_in_place(images: np.ndarray) -> None:
    output = layers.batch_norm(images, updates_collections=None)
    assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == []
    run(output)
    session = tf.get_default_session()
    session.run(output)
    expected = images.mean((0, 1, 2)) * (1 - 0.999**2)  # the documented decay
    np.testing.assert_allclose(
        session.run(tf.global_variables()[1]), expected, rtol=1e-3
    )
    assert names() == [
        "BatchNorm/beta",
        "BatchNorm/moving_mean",
        "BatchNorm/moving_variance",
    ]


def test_batch_norm_in_use_alone_has_no_updates(images: np.ndarray) -> None:
    layers.batch_norm(images, is_training=False, center=False)
    assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == []
    assert tf.trainable_variables() == []


@pytest.mark.parametrize(
    "option", [{"renorm": True}, {"batch_weights": [1.0]}, {"data_format": "NCHW"}]
)
def test_what_batch_norm_cannot_do_is_refused(
    images: np.ndarray, option: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=r"batch_norm has no|NHWC"):
        layers.batch_norm(images, **option)


def test_layer_norm_normalizes_each_example(images: np.ndarray) -> None:
    (values,) = run(layers.layer_norm(images))
    np.testing.assert_allclose(values.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(values.std((1, 2, 3)), 1, rtol=1e-4)
    assert names() == ["LayerNorm/beta", "LayerNorm/gamma"]


# --------------------------------------------------------- layers without variables


def test_pooling_takes_a_window_of_two_by_two(images: np.ndarray) -> None:
    windows = images[:, :6, :8].reshape(BATCH, 3, 2, 4, 2, CHANNELS)
    largest, mean = run(layers.max_pool2d(images, 2), layers.avg_pool2d(images, [2, 2]))
    np.testing.assert_array_equal(largest, windows.max((2, 4)))
    np.testing.assert_allclose(mean, windows.mean((2, 4)), atol=1e-6)


def test_dropout_keeps_the_share_and_the_sum() -> None:
    ones = np.ones((100, 101), np.float32)
    dropped, half, kept = run(
        layers.dropout(ones, 0.8),
        layers.dropout(ones),
        layers.dropout(ones, is_training=False),
    )
    assert np.unique(dropped).tolist() == [0, 1.25]
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    assert half.max() == 2
    assert (kept == 1).all()


def test_flatten_and_the_rest(images: np.ndarray) -> None:
    x = tf.placeholder_with_default(images, [None, HEIGHT, WIDTH, CHANNELS])
    flat = layers.flatten(x)
    assert flat.shape.as_list() == [None, HEIGHT * WIDTH * CHANNELS]
    unknown = tf.placeholder_with_default(images, [None, None, WIDTH, CHANNELS])
    values = run(flat, layers.flatten(unknown), layers.softmax(images))
    for value in values[:2]:
        np.testing.assert_array_equal(value, images.reshape(BATCH, -1))
    np.testing.assert_allclose(values[2].sum(-1), 1, rtol=1e-5)
    (rows,) = run(layers.one_hot_encoding([2, 0], 4))
    assert rows.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    (values,) = run(layers.bias_add(images, initializer=tf.ones_initializer()))
    np.testing.assert_allclose(values, images + 1, rtol=1e-6)


# --------------------------------------------------------- several layers, arg_scope


def test_repeat_and_stack_number_their_scopes(images: np.ndarray) -> None:
    layers.repeat(images, 2, layers.conv2d, 4, 3, scope="conv")
    output = layers.stack(images[0, 0], layers.fully_connected, [4, 6], scope="fc")
    layers.stack(images[0, 0], layers.linear, [2])
    assert names()[::2] == [
        "conv/conv_1/weights",
        "conv/conv_2/weights",
        "fc/fc_1/weights",
        "fc/fc_2/weights",
        "Stack/fully_connected_1/weights",
    ]
    assert output.shape.as_list() == [WIDTH, 6]


def test_arg_scopes_nest_and_end(images: np.ndarray) -> None:
    @add_arg_scope
    def layer(x: int, a: int = 1, b: int = 2) -> tuple[int, int, int]:
        return x, a, b

    with arg_scope([layer], a=10) as outer:
        with arg_scope([layer], b=20):
            assert layer(0) == (0, 10, 20)
            assert layer(0, a=3) == (0, 3, 20)
        assert layer(0) == (0, 10, 2)
    assert layer(0) == (0, 1, 2)
    with arg_scope(outer):
        assert layer(0) == (0, 10, 2)
    with pytest.raises(ValueError, match="arg_scope"), arg_scope([max], key=None):
        pass
    with arg_scope([layers.conv2d, layers.fully_connected], activation_fn=None):
        (values,) = run(layers.conv2d(images, 4, 3))
    assert values.min() < 0


# -------------------------------------------------------------------------- losses


@pytest.mark.parametrize(
    ("loss", "labels", "expected"),
    [
        (losses.softmax_cross_entropy, [[0.0, 1.0]], np.log(1 + np.exp(2))),
        (losses.sparse_softmax_cross_entropy, [1], np.log(1 + np.exp(2))),
        (
            losses.sigmoid_cross_entropy,
            [[0.0, 1.0]],
            (np.log(1 + np.exp(3)) + np.log(1 + np.exp(-1))) / 2,
        ),
        (losses.mean_squared_error, [[0.0, 1.0]], 4.5),
        (losses.absolute_difference, [[0.0, 1.0]], 1.5),
    ],
)
def test_losses_take_predictions_first(
    loss: Callable, labels: list, expected: float
) -> None:
    predictions = tf.constant([[3.0, 1.0]])
    doubled = loss(predictions, tf.constant(labels), 2.0)
    np.testing.assert_allclose(run(doubled)[0], 2 * expected, rtol=1e-5)
    assert losses.get_losses() == [doubled]
