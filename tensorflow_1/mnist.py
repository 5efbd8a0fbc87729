"""The module `mnist` of TensorFlow 1's tutorials: a network of two hidden layers."""

import math

from common.session import tf

NUM_CLASSES = 10
IMAGE_SIZE = 28  # pixels
IMAGE_PIXELS = IMAGE_SIZE * IMAGE_SIZE


def inference(images: tf.Tensor, hidden1_units: int, hidden2_units: int) -> tf.Tensor:
    """Return the logits, float32 of shape [batch_size, 10].

    Args:
        images: float32 tensor of shape [batch_size, 784].
        hidden1_units: of the first hidden layer.
        hidden2_units: of the second.
    """
    x = tf.nn.relu(_linear(images, "hidden1", IMAGE_PIXELS, hidden1_units))
    x = tf.nn.relu(_linear(x, "hidden2", hidden1_units, hidden2_units))
    return _linear(x, "softmax_linear", hidden2_units, NUM_CLASSES)


def _linear(x: tf.Tensor, scope: str, inputs: int, units: int) -> tf.Tensor:
    with tf.name_scope(scope):
        initial = tf.truncated_normal([inputs, units], stddev=1 / math.sqrt(inputs))
        weights = tf.Variable(initial, name="weights")
        biases = tf.Variable(tf.zeros([units]), name="biases")
        return tf.matmul(x, weights) + biases


def loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the mean cross-entropy, in nats, a scalar.

    Args:
        logits: float32 tensor of shape [batch_size, 10].
        labels: integer tensor of shape [batch_size].
    """
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.cast(labels, tf.int64), logits=logits, name="xentropy"
    )
    return tf.reduce_mean(cross_entropy, name="xentropy_mean")


def training(loss: tf.Tensor, learning_rate: float) -> tf.Operation:
    """Return the operation of a step of gradient descent; write the loss's summary."""
    tf.summary.scalar("loss", loss)
    global_step = tf.Variable(0, name="global_step", trainable=False)
    optimizer = tf.train.GradientDescentOptimizer(learning_rate)
    return optimizer.minimize(loss, global_step=global_step)


def evaluation(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the number of right answers in a batch, an int32 scalar."""
    right = tf.nn.in_top_k(logits, labels, 1)
    return tf.reduce_sum(tf.cast(right, tf.int32))
