"""Functions whose arguments have moved, with the arguments of each version."""

from collections.abc import Iterator

import numpy as np
import pytest

from common.session import tf
from tensorflow_1 import calls, mnist


@pytest.fixture(autouse=True)
def session() -> Iterator[tf.Session]:
    """A graph and a Session of its own for each test."""
    with tf.Graph().as_default(), tf.Session() as session:
        yield session


A, B = np.arange(6.0).reshape(2, 3), np.ones((2, 3))


def test_concat_takes_both_orders(session: tf.Session) -> None:
    expected = np.concatenate([A, B], 1)
    for tensor in (
        calls.concat([A, B], 1),
        calls.concat(1, [A, B]),
        calls.concat(values=[A, B], axis=1),
        calls.concat(concat_dim=1, values=[A, B]),
    ):
        np.testing.assert_array_equal(session.run(tensor), expected)


def test_reverse_takes_axes_and_a_bool_for_each(session: tf.Session) -> None:
    for tensor in (
        calls.reverse(A, [1]),
        calls.reverse(A, [False, True]),
        calls.reverse(A, dims=[False, True]),
    ):
        np.testing.assert_array_equal(session.run(tensor), A[:, ::-1])


def test_split_takes_both_orders(session: tf.Session) -> None:
    for parts in (
        calls.split(A, 3, 1),
        calls.split(1, 3, A),
        calls.split(value=A, num_or_size_splits=3, axis=1),
        calls.split(split_dim=1, num_split=3, value=A),
    ):
        np.testing.assert_array_equal(session.run(parts), np.split(A, 3, 1))
    parts = session.run(calls.split(A, [1, 2], 1))
    assert [part.shape for part in parts] == [(2, 1), (2, 2)]


def test_losses_take_logits_first_by_position(session: tf.Session) -> None:
    logits, targets = A.astype("f"), np.array([[0, 1, 0], [1, 0, 0]], "f")
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -(log * targets).sum(1)
    for loss in (
        calls.softmax_cross_entropy(logits, targets),
        calls.softmax_cross_entropy(labels=targets, logits=logits),
        calls.sparse_softmax_cross_entropy(logits, targets.argmax(1)),
    ):
        np.testing.assert_allclose(session.run(loss), expected, rtol=1e-5)
    loss = calls.sigmoid_cross_entropy(logits, targets)
    expected = np.log(1 + np.exp(logits)) - logits * targets
    np.testing.assert_allclose(session.run(loss), expected, rtol=1e-5)


def test_resize_images_takes_a_size_or_two_numbers() -> None:
    images = tf.zeros([1, 6, 4, 1])
    for resized in (
        calls.resize_images(images, [3, 2]),
        calls.resize_images(images, 3, 2),
        calls.resize_images(images, (3, 2), 1),
    ):
        assert resized.shape.as_list() == [1, 3, 2, 1]


def test_old_summaries_write_what_they_are_given(session: tf.Session) -> None:
    image = np.zeros((5, 4, 4, 1))
    for summary, count in (
        (calls.scalar_summary("a", 2.0), 1),
        (calls.histogram_summary("b", A), 1),
        (calls.image_summary("c", image, max_images=2), 2),
    ):
        found = tf.Summary.FromString(session.run(summary)).value
        assert len(found) == count


def test_variables_of_a_scope() -> None:
    with tf.variable_scope("a"):
        first = tf.get_variable("x", [2])
        second = tf.get_variable("y", [2], trainable=False)
    tf.get_variable("x", [2])
    assert calls.get_variables("a") == [first, second]
    assert calls.get_variables("a", "y") == [second]
    assert calls.get_trainable_variables("a") == [first]


def test_accuracy_is_the_share_of_equal_values(session: tf.Session) -> None:
    share = calls.accuracy(tf.constant([1, 2, 3, 4]), tf.constant([1, 2, 0, 0]))
    assert session.run(share) == 0.5
    weighted = calls.accuracy(
        tf.constant([1, 2]), tf.constant([1, 0]), tf.constant([3.0, 1.0])
    )
    assert session.run(weighted) == 0.75


def test_one_cell_for_two_layers_stands_for_two(session: tf.Session) -> None:
    keras = pytest.importorskip("tf_keras.api._v1.keras")
    cell = keras.__internal__.legacy.rnn_cell
    lstm = cell.DropoutWrapper(cell.BasicLSTMCell(5), output_keep_prob=1.0)
    stack = calls.multi_rnn_cell([lstm] * 2)
    inputs = [tf.ones([2, 3])] * 4
    outputs, _ = tf.nn.static_rnn(stack, inputs, dtype=tf.float32)
    shapes = [v.shape.as_list() for v in tf.trainable_variables()]
    assert shapes == [[8, 20], [20], [10, 20], [20]]
    session.run(tf.global_variables_initializer())
    # Against a second writing of the cell: gates i, j, f, o, and a forget bias of 1.
    layers = np.reshape(np.array(session.run(tf.trainable_variables()), object), (2, 2))
    state = [(np.zeros((2, 5)), np.zeros((2, 5)))] * 2
    for _ in inputs:
        x = np.ones((2, 3))
        for n, (kernel, bias) in enumerate(layers):
            c, h = state[n]
            i, j, f, o = np.split(np.concatenate([x, h], 1) @ kernel + bias, 4, 1)
            c = c / (1 + np.exp(-f - 1)) + np.tanh(j) / (1 + np.exp(-i))
            x = np.tanh(c) / (1 + np.exp(-o))
            state[n] = (c, x)
    np.testing.assert_allclose(session.run(outputs[-1]), x, atol=1e-5)


def test_the_tutorials_network_counts_and_learns(session: tf.Session) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.random((20, 784), np.float32), np.arange(20) % 10
    logits = mnist.inference(images, 13, 7)
    loss = mnist.loss(logits, labels)
    step = mnist.training(loss, 0.1)
    right = mnist.evaluation(logits, labels)
    session.run(tf.global_variables_initializer())
    before, values, count = session.run([loss, logits, right])
    log = values - np.log(np.exp(values).sum(1, keepdims=True))
    np.testing.assert_allclose(before, -log[range(20), labels].mean(), rtol=1e-5)
    assert count == (values.argmax(1) == labels).sum()
    for _ in range(20):
        session.run(step)
    assert session.run(loss) < before
    variables = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
    assert variables["hidden2/weights"] == [13, 7]
    assert session.run(tf.global_variables()[-1]) == 20  # global_step


def test_projections_are_fully_connected_layers_around_a_cell(
    session: tf.Session,
) -> None:
    keras = pytest.importorskip("tf_keras.api._v1.keras")
    from tensorflow_1 import cells

    x = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    inner = keras.__internal__.legacy.rnn_cell.BasicRNNCell(4)
    cell = cells.OutputProjectionWrapper(
        cells.InputProjectionWrapper(inner, 6), 7, activation=tf.nn.relu
    )
    outputs, state = tf.nn.dynamic_rnn(cell, x, dtype=tf.float32)
    session.run(tf.global_variables_initializer())
    found = {v.op.name.removeprefix("rnn/"): session.run(v) for v in tf.all_variables()}
    prefix = "output_projection_wrapper/"
    first = f"{prefix}input_projection_wrapper/"
    assert found.keys() == {
        f"{scope}{name}"
        for scope in (prefix, first, f"{first}basic_rnn_cell/")
        for name in ("kernel", "bias")
    }
    hidden, expected = np.zeros((3, 4)), []
    for step in range(5):
        inputs = x[:, step] @ found[f"{first}kernel"] + found[f"{first}bias"]
        inputs = np.concatenate([inputs, hidden], 1)
        rnn = f"{first}basic_rnn_cell/"
        hidden = np.tanh(inputs @ found[f"{rnn}kernel"] + found[f"{rnn}bias"])
        output = hidden @ found[f"{prefix}kernel"] + found[f"{prefix}bias"]
        expected.append(np.maximum(output, 0))
    np.testing.assert_allclose(
        session.run(outputs), np.stack(expected, 1), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(session.run(state), hidden, rtol=1e-4, atol=1e-6)
    assert (cell.output_size, cell.state_size) == (7, 4)
