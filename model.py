"""Five digit recognisers as graph functions: tensors in, tensors out, no Session.

    python model.py --network mlp_128

prints the layers of a network; of the first, ``cnn``, those with 3,274,634 parameters.
Variables have the names of the TensorFlow 1 script that this project follows, so that
its checkpoints can be restored.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from augment import random_affine
from common import cli
from common.session import tf

# ---------------------------------------------------------------------- constants
# The architectures: what is changed here is another network, to be trained anew.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "cnn": {
        "kernel_size": 5,  # pixels, both convolutions
        "conv_1_filters": 32,
        "conv_2_filters": 64,
        "fc_units": 1024,
    },
    "mlp_512": {"units": [512]},
    "mlp_1024_512_256": {"units": [1024, 512, 256], "input_dropout": True},
    "mlp_128": {"units": [128]},
    "sigmoid_30": {"units": [30], "activation": "sigmoid", "initial": "normal"},
}
# Random affine at strength 1: each quantity is uniform between plus and minus this.
AFFINE = {
    "rotation": 0.12,  # radians
    "scaling": 0.07,  # share of the size, each axis on its own
    "shear": 0.1,  # pixels along a row per row
    "shift": 1.4,  # pixels, each axis on its own
}
# --------------------------------------------------------------------------------

IMAGE_SIZE = 28  # pixels
CLASSES = 10
ACTIVATIONS = tf.GraphKeys.ACTIVATIONS  # the collection of what each layer puts out


class Inputs(NamedTuple):
    """What a Session feeds; only `images` has no default outside training."""

    images: tf.Tensor  # float32 of shape [batch_size, 784], values in [0, 1]
    labels: tf.Tensor  # int32 of shape [batch_size], 0 to 9
    keep_prob: tf.Tensor  # float32 scalar: share of the fc units that dropout keeps
    augment: tf.Tensor  # float32 scalar: strength of the random affine


def inputs() -> Inputs:
    """Create the placeholders; dropout and augmentation are off unless fed."""
    return Inputs(
        tf.placeholder(tf.float32, [None, IMAGE_SIZE**2], "images"),
        tf.placeholder(tf.int32, [None], "labels"),
        tf.placeholder_with_default(1.0, [], "keep_prob"),
        tf.placeholder_with_default(0.0, [], "augment"),
    )


# ------------------------------------------------------------------------- layers


def _weights(
    shape: list[int], initial: str = "glorot"
) -> tuple[tf.Variable, tf.Variable]:
    """Create the variables of a layer, weights of `shape` and biases.

    Initial values are "glorot", get_variable's own and zero biases (X. Glorot,
    Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010); or "normal", from N(0, 1).
    """
    normal = tf.random_normal_initializer() if initial == "normal" else None
    w = tf.get_variable("w_variable", shape, initializer=normal)
    zeros = tf.zeros_initializer()
    b = tf.get_variable("b_variable", shape[-1:], initializer=normal or zeros)
    return w, b


def _output(x: tf.Tensor) -> tf.Tensor:
    tf.add_to_collection(ACTIVATIONS, x)
    return x


def conv(x: tf.Tensor, scope: str, filters: int, *, kernel_size: int) -> tf.Tensor:
    """Convolution, relu and 2x2 max-pooling.

    Args:
        x: float tensor of shape [batch_size, height, width, channels].
        scope: name of the variable scope.
        filters: channels of the output.
        kernel_size: pixels.

    Returns:
        Float tensor of shape [batch_size, ceil(height / 2), ceil(width / 2), filters].
    """
    with tf.variable_scope(scope):
        w, b = _weights([kernel_size, kernel_size, x.shape[-1], filters])
        # In this order the three become one fused kernel.
        x = tf.nn.bias_add(tf.nn.conv2d(x, w, strides=1, padding="SAME"), b)
        x = _output(tf.nn.relu(x, name="relu"))
        return _output(tf.nn.max_pool2d(x, 2, strides=2, padding="SAME", name="pool"))


def fc(
    x: tf.Tensor,
    scope: str,
    units: int,
    *,
    activation: str | None,
    initial: str = "glorot",
) -> tf.Tensor:
    """Fully connected layer of a [batch_size, n] tensor: [batch_size, units].

    The activation is "relu", "sigmoid" or None.
    """
    with tf.variable_scope(scope):
        w, b = _weights([x.shape[-1], units], initial)
        x = tf.nn.bias_add(tf.matmul(x, w), b, name="linear")
        if activation:
            x = {"relu": tf.nn.relu, "sigmoid": tf.sigmoid}[activation](x, activation)
        return _output(x)


def dropout(
    x: tf.Tensor, keep_prob: tf.Tensor, key: tf.Tensor, layer: int = 0
) -> tf.Tensor:
    """Zero each unit with probability 1 - keep_prob, scale the rest by 1 / keep_prob.

    G. Hinton et al., "Improving neural networks by preventing co-adaptation of feature
    detectors", 2012; the mask is a function of `key` and the number of the layer.
    """

    def drop() -> tf.Tensor:
        # Streams below 0 are nobody else's: see `random_key`.
        own = key - tf.constant([layer << 40, 0], tf.int64)
        kept = tf.random.stateless_uniform(tf.shape(x), own) < keep_prob
        return tf.where(kept, x / tf.cast(keep_prob, x.dtype), tf.zeros_like(x))

    return _output(tf.identity(tf.cond(keep_prob < 1.0, drop, lambda: x), "dropout"))


def cnn(
    images: tf.Tensor,
    keep_prob: tf.Tensor,
    key: tf.Tensor,
    *,
    kernel_size: int,
    conv_1_filters: int,
    conv_2_filters: int,
    fc_units: int,
) -> tf.Tensor:
    """Build the network.

    Args:
        images: float32 tensor of shape [batch_size, 28, 28, 1], values in [0, 1].
        keep_prob: float32 scalar, share of the fc units that dropout keeps.
        key: int64 tensor of shape [2] that decides which ones.
        kernel_size: of both convolutions, pixels.
        conv_1_filters: channels after the first convolution.
        conv_2_filters: channels after the second.
        fc_units: units of the fully connected layer.

    Returns:
        Logits, float32 tensor of shape [batch_size, 10].
    """
    x = conv(images, "layer_1", conv_1_filters, kernel_size=kernel_size)
    x = conv(x, "layer_2", conv_2_filters, kernel_size=kernel_size)
    x = tf.reshape(x, [-1, math.prod(x.shape[1:])])
    x = fc(x, "full_connection_1", fc_units, activation="relu")
    x = dropout(x, keep_prob, key)
    return fc(x, "full_connection_2", CLASSES, activation=None)


def mlp(
    images: tf.Tensor,
    keep_prob: tf.Tensor,
    key: tf.Tensor,
    *,
    units: Sequence[int],
    activation: str = "relu",
    initial: str = "glorot",
    input_dropout: bool = False,
) -> tf.Tensor:
    """Build a network of fully connected layers, dropout after each hidden one.

    Args:
        images: float32 tensor of shape [batch_size, 28, 28, 1], values in [0, 1].
        keep_prob: float32 scalar, share of the units that dropout keeps.
        key: int64 tensor of shape [2] that decides which ones.
        units: of the hidden layers.
        activation: of the hidden layers, "relu" or "sigmoid".
        initial: values of the variables, see `_weights`.
        input_dropout: dropout of the pixels as well.

    Returns:
        Logits, float32 tensor of shape [batch_size, 10].
    """
    x = tf.reshape(images, [-1, IMAGE_SIZE**2])
    if input_dropout:
        x = dropout(x, keep_prob, key, layer=0)
    for layer, size in enumerate(units, 1):
        scope = f"full_connection_{layer}"
        x = fc(x, scope, size, activation=activation, initial=initial)
        x = dropout(x, keep_prob, key, layer=layer)
    scope = f"full_connection_{len(units) + 1}"
    return fc(x, scope, CLASSES, activation=None, initial=initial)


NETWORKS = {name: cnn if name == "cnn" else mlp for name in ARCHITECTURES}


def random_key(seed: int, global_step: tf.Tensor, stream: int) -> tf.Tensor:
    """Return the int64 [2] key of a stateless random operation.

    Randomness is a function of (seed, step), so that there is no state to save;
    `stream`, 0 or 1, keeps the uses of one step apart.
    """
    first = tf.constant(2 * seed + stream, tf.int64)
    return tf.stack([first, tf.cast(global_step, tf.int64)])


def inference(
    feeds: Inputs,
    network: str,
    architecture: dict[str, Any],
    seed: int,
    global_step: tf.Tensor,
) -> tf.Tensor:
    """Build a network behind its augmentation; return logits [batch_size, 10].

    Args:
        feeds: the placeholders.
        network: a key of NETWORKS.
        architecture: the keyword arguments of its function.
        seed: of dropout and augmentation.
        global_step: integer scalar, decides them with the seed.
    """
    images = tf.reshape(feeds.images, [-1, IMAGE_SIZE, IMAGE_SIZE, 1])
    key = random_key(seed, global_step, 0)
    images = tf.cond(
        feeds.augment > 0,
        lambda: random_affine(images, AFFINE, feeds.augment, key),
        lambda: images,
    )
    images = tf.ensure_shape(images, [None, IMAGE_SIZE, IMAGE_SIZE, 1])
    key = random_key(seed, global_step, 1)
    return NETWORKS[network](images, feeds.keep_prob, key, **architecture)


# -------------------------------------------------------------------- layer table


def layer_table(outputs: list[tf.Tensor], variables: list[tf.Variable]) -> str:
    """Return a line a layer: name, output shape, parameters; and their total."""
    lines = [f"{'layer':<26}{'output shape':<20}{'parameters':>12}"]
    counted = set()
    for output in outputs:
        scope = output.op.name.rpartition("/")[0]
        own = [v for v in variables if scope and v.op.name.startswith(f"{scope}/")]
        new = [v for v in own if v.op.name not in counted]
        counted.update(v.op.name for v in new)
        shape = " x ".join(str(size) for size in output.shape[1:])
        parameters = sum(v.shape.num_elements() for v in new)
        lines.append(f"{output.op.name:<26}{shape:<20}{parameters:>12,}")
    total = sum(v.shape.num_elements() for v in variables)
    return "\n".join([*lines, f"{'total':<46}{total:>12,}"])


def main() -> None:
    """Print the layer table."""
    parser = cli.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="cnn")
    network = parser.parse_args().network
    with tf.Graph().as_default() as graph:
        inference(inputs(), network, ARCHITECTURES[network], 0, tf.constant(0))
        print(layer_table(graph.get_collection(ACTIVATIONS), tf.trainable_variables()))


if __name__ == "__main__":
    cli.run(main)
