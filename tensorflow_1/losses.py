"""tf.contrib.losses: tf.losses with predictions before labels."""

from collections.abc import Callable

from common.session import tf

add_loss = tf.losses.add_loss
get_losses = tf.losses.get_losses
get_regularization_losses = tf.losses.get_regularization_losses
get_total_loss = tf.losses.get_total_loss


def _ordered(function: Callable, *names: str) -> Callable:
    """Return a loss of tf.losses that takes its arguments in another order."""

    def loss(*args: object, **options: object) -> tf.Tensor:
        return function(**dict(zip(names, args, strict=False)), **options)

    return loss


_PREDICTIONS = ("predictions", "labels", "weights", "scope")
absolute_difference = _ordered(tf.losses.absolute_difference, *_PREDICTIONS)
mean_squared_error = _ordered(tf.losses.mean_squared_error, *_PREDICTIONS)
log_loss = _ordered(
    tf.losses.log_loss, "predictions", "labels", "weights", "epsilon", "scope"
)
hinge_loss = _ordered(tf.losses.hinge_loss, "logits", "labels", "weights", "scope")
sigmoid_cross_entropy = _ordered(
    tf.losses.sigmoid_cross_entropy,
    *("logits", "multi_class_labels", "weights", "label_smoothing", "scope"),
)
softmax_cross_entropy = _ordered(
    tf.losses.softmax_cross_entropy,
    *("logits", "onehot_labels", "weights", "label_smoothing", "scope"),
)
sparse_softmax_cross_entropy = _ordered(
    tf.losses.sparse_softmax_cross_entropy, "logits", "labels", "weights", "scope"
)
