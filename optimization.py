"""Losses, optimizers and the learning rate's schedule as graph functions."""

import math

from common.session import tf
from model import CLASSES


def smoothed_targets(labels: tf.Tensor, label_smoothing: float) -> tf.Tensor:
    """Return the targets of each example, float32 of shape [batch_size, 10].

    Label smoothing (C. Szegedy et al., "Rethinking the Inception Architecture", 2016)
    takes that share of the target from the label and spreads it over all ten classes.
    """
    targets = tf.one_hot(labels, CLASSES) * (1 - label_smoothing)
    return targets + label_smoothing / CLASSES


def cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy of softmax outputs, in nats, [batch_size]."""
    return tf.nn.softmax_cross_entropy_with_logits_v2(labels=targets, logits=logits)


def quadratic(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return half the squared error of sigmoid outputs, summed over them, [batch_size].

    M. Nielsen, "Neural Networks and Deep Learning", 2015, chapter 1.
    """
    return 0.5 * tf.reduce_sum(tf.square(tf.sigmoid(logits) - targets), axis=1)


LOSSES = {"cross_entropy": cross_entropy, "quadratic": quadratic}


def probabilities(logits: tf.Tensor, loss: str) -> tf.Tensor:
    """Return the probability of each digit, float32 of shape [batch_size, 10].

    The outputs are softmax after training with cross-entropy; after training with the
    quadratic loss they are sigmoid, which is divided by its sum here.
    """
    if loss == "cross_entropy":
        return tf.nn.softmax(logits)
    # exp(log(s)) / sum(exp(log(s))): softmax never leaves float32.
    return tf.nn.softmax(tf.math.log_sigmoid(logits))


OPTIMIZERS = {
    "adam": tf.train.AdamOptimizer,
    "rmsprop": tf.train.RMSPropOptimizer,  # its decay is 0.9 unless told otherwise
    "sgd": tf.train.GradientDescentOptimizer,
}


def learning_rate(
    global_step: tf.Tensor, steps: int, peak: float, schedule: str, warmup: float
) -> tf.Tensor:
    """Return the learning rate of a step, a float32 scalar.

    Args:
        global_step: int64 scalar, 0 at the first step.
        steps: length of the run.
        peak: the rate after the warm-up.
        schedule: "cosine" falls to zero at the end of the run (I. Loshchilov,
            F. Hutter, "SGDR", 2017); "constant" stays.
        warmup: share of the steps in which the rate first rises from zero, linearly.
    """
    step = tf.cast(global_step, tf.float32)
    warmup_steps = warmup * steps
    rise = tf.minimum(1.0, (step + 1) / max(1.0, warmup_steps))
    if schedule == "constant":
        return peak * rise
    done = tf.maximum(0.0, step - warmup_steps) / max(1.0, steps - warmup_steps)
    return peak * rise * 0.5 * (1 + tf.cos(math.pi * done))


def evaluation(
    logits: tf.Tensor, labels: tf.Tensor, loss: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the sum of losses and the number of right answers.

    Sums, a float32 and an int32 scalar: batches of any size add up.
    """
    right = tf.equal(tf.argmax(logits, 1, output_type=tf.int32), labels)
    return (
        tf.reduce_sum(LOSSES[loss](logits, smoothed_targets(labels, 0.0))),
        tf.reduce_sum(tf.cast(right, tf.int32)),
    )
