"""Functions of TensorFlow whose arguments have moved, as scripts call them.

A call of TensorFlow 1 passes through unchanged; one of TensorFlow 0.x, whose order was
another, is told by what it is given.
"""

import copy
from collections.abc import Callable, Sequence
from numbers import Integral
from types import ModuleType

from common.session import tf


def _is_axis(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def concat(
    values: object = None,
    axis: object = None,
    name: str = "concat",
    concat_dim: int | None = None,
) -> tf.Tensor:
    """tf.concat(values, axis); 0.x: tf.concat(concat_dim, values)."""
    if concat_dim is not None:
        values, axis = values if values is not None else axis, concat_dim
    elif _is_axis(values):
        values, axis = axis, values
    return tf.concat(values, axis, name)


def split(
    value: object = None,
    num_or_size_splits: object = None,
    axis: object = 0,
    num: int | None = None,
    name: str = "split",
    split_dim: int | None = None,
    num_split: int | None = None,
) -> list[tf.Tensor]:
    """tf.split(value, splits, axis); 0.x: tf.split(split_dim, num_split, value)."""
    if split_dim is not None:
        axis = split_dim
    elif _is_axis(value):
        value, axis = axis, value
    if num_split is not None:
        num_or_size_splits = num_split
    return tf.split(value, num_or_size_splits, axis, num, name)


def reverse(
    tensor: tf.Tensor,
    axis: object = None,
    name: str | None = None,
    dims: object = None,
) -> tf.Tensor:
    """tf.reverse(tensor, axes); 0.x: a bool for each axis, called dims."""
    axis = dims if dims is not None else axis
    if isinstance(axis, Sequence) and all(isinstance(flip, bool) for flip in axis):
        axis = [i for i, flip in enumerate(axis) if flip]
    return tf.reverse(tensor, axis, name)


def _logits_first(function: Callable) -> Callable:
    """Return a loss of tf.nn that takes (logits, labels) by position, as in 0.x."""

    def loss(*args: object, **options: object) -> tf.Tensor:
        return function(
            **dict(zip(("logits", "labels"), args, strict=False)), **options
        )

    return loss


softmax_cross_entropy = _logits_first(tf.nn.softmax_cross_entropy_with_logits)
sparse_softmax_cross_entropy = _logits_first(
    tf.nn.sparse_softmax_cross_entropy_with_logits
)
sigmoid_cross_entropy = _logits_first(tf.nn.sigmoid_cross_entropy_with_logits)


def image_summary(
    tag: str, tensor: tf.Tensor, max_images: int = 3, **options: object
) -> tf.Tensor:
    """tf.summary.image(name, tensor, max_outputs)."""
    return tf.summary.image(tag, tensor, max_images, **options)


def scalar_summary(tags: str, values: tf.Tensor, **options: object) -> tf.Tensor:
    """tf.summary.scalar(name, tensor)."""
    return tf.summary.scalar(tags, values, **options)


def histogram_summary(tag: str, values: tf.Tensor, **options: object) -> tf.Tensor:
    """tf.summary.histogram(name, values)."""
    return tf.summary.histogram(tag, values, **options)


def resize_images(
    images: tf.Tensor, size: object, *args: object, **options: object
) -> tf.Tensor:
    """tf.image.resize_images(images, [height, width]); 0.x: (images, height, width)."""
    if _is_axis(size) and args:
        size, args = [size, args[0]], args[1:]
    return tf.image.resize_images(images, size, *args, **options)


# ----------------------------------------------------------------------------- cells


def multi_rnn_cell(cells: Sequence, state_is_tuple: bool = True) -> object:
    """tf.nn.rnn_cell.MultiRNNCell(cells); [cell] * n stands for n cells, as in 1.0.

    Later versions refused one object for several layers, or shared its weights.
    """
    apart = [
        cell if cell not in cells[:i] else copy.deepcopy(cell)
        for i, cell in enumerate(cells)
    ]
    return _rnn_cell().MultiRNNCell(apart, state_is_tuple)


def basic_lstm_cell(num_units: int, *args: object, **options: object) -> object:
    """BasicLSTMCell of tensorflow.models.rnn, whose state is one tensor."""
    options = {"state_is_tuple": False} | options
    return _rnn_cell().BasicLSTMCell(num_units, *args, **options)


def bidirectional_rnn(*args: object, **options: object) -> list[tf.Tensor]:
    """Return the outputs of tf.nn.static_bidirectional_rnn alone, as TensorFlow 0.6."""
    return tf.nn.static_bidirectional_rnn(*args, **options)[0]


def _rnn_cell() -> ModuleType:
    from tf_keras.api._v1 import keras  # slow, and not in every installation

    return keras.__internal__.legacy.rnn_cell


# ------------------------------------------------------------- contrib's small parts


def streaming_accuracy(
    predictions: tf.Tensor, labels: tf.Tensor, *args: object, **options: object
) -> tuple[tf.Tensor, tf.Tensor]:
    """tf.metrics.accuracy(labels, predictions)."""
    return tf.metrics.accuracy(labels, predictions, *args, **options)


def accuracy(
    predictions: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Return the share of equal values in two tensors, by contrib.metrics."""
    right = tf.cast(tf.equal(predictions, labels), tf.float32)
    if weights is None:
        return tf.reduce_mean(right)
    return tf.reduce_sum(right * weights) / tf.reduce_sum(tf.ones_like(right) * weights)


def get_variables(
    scope: str | tf.VariableScope | None = None,
    suffix: str | None = None,
    collection: str = tf.GraphKeys.GLOBAL_VARIABLES,
) -> list[tf.Variable]:
    """Return the variables of a scope, by contrib.framework."""
    name = scope.name if isinstance(scope, tf.VariableScope) else scope
    found = tf.get_collection(collection, name)
    return [v for v in found if not suffix or v.op.name.endswith(suffix)]


def get_trainable_variables(
    scope: str | tf.VariableScope | None = None, suffix: str | None = None
) -> list[tf.Variable]:
    """Return the trainable variables of a scope, by contrib.framework."""
    return get_variables(scope, suffix, tf.GraphKeys.TRAINABLE_VARIABLES)
