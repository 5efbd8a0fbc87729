"""Five digit recognisers as graph functions: tensors in, tensors out, no Session.

    python model.py --network mlp_128

prints the layers of a network; those of ``cnn``, the default, have 3,274,634
parameters. The parts are those of TensorFlow 1's own ``mnist.py``: `inference`, `loss`,
`training`, `evaluation`. Variables have the names of the TensorFlow 1 script that this
project follows, so that its checkpoints can be restored.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from common import cli
from common.session import tf

# ---------------------------------------------------------------------- constants
# The architectures. An edited one is another network, to be trained again.
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
# --------------------------------------------------------------------------------

IMAGE_SIZE = 28  # pixels
PIXELS = IMAGE_SIZE**2
CLASSES = 10

# ------------------------------------------------------------------------- randomness


class RandomKey(NamedTuple):
    """What decides the random numbers of one use in one step."""

    numbers: tf.Tensor  # int64 of shape [2]
    part: int = 0  # which part of the batch this process has
    parts: int = 1  # equal ones, of one process each


def random_key(
    seed: int, global_step: tf.Tensor, stream: int, part: int = 0, parts: int = 1
) -> RandomKey:
    """Return the key of a random operation.

    Randomness is a function of (seed, step), so that there is no state to save;
    `stream`, 0 or 1, keeps the uses of one step apart.
    """
    first = tf.constant(2 * seed + stream, tf.int64)
    return RandomKey(tf.stack([first, tf.cast(global_step, tf.int64)]), part, parts)


KEYS_PER_LAYER = 2**40  # more than `random_key` has: seeds are below 2**31


def uniform(
    shape: tf.Tensor,
    key: RandomKey,
    low: tf.Tensor | float = 0.0,
    high: tf.Tensor | float = 1.0,
) -> tf.Tensor:
    """Return random numbers from `low` to below `high`, float32 of `shape`.

    One process that has part of a batch gets the rows that it would have in the
    numbers for all of it.
    """
    if key.parts == 1:
        return tf.random.stateless_uniform(shape, key.numbers, low, high)
    philox = tf.raw_ops.StatelessRandomGetKeyCounter(seed=key.numbers)
    size = tf.cast(tf.reduce_prod(shape), tf.int64)
    # Each count of the counter gives four numbers.
    skipped, rest = key.part * size // 4, key.part * size % 4
    numbers = tf.raw_ops.StatelessRandomUniformV2(
        shape=[rest + size],
        key=philox[0],
        counter=philox[1] + tf.cast(tf.stack([skipped, 0]), tf.uint64),
        alg=1,  # Philox
    )
    return low + tf.reshape(numbers[rest:], shape) * (high - low)


# ------------------------------------------------------------------------- layers


def _weights(
    shape: list[int], initial: str = "glorot"
) -> tuple[tf.Variable, tf.Variable]:
    """Create the variables of a layer: weights of `shape`, and biases.

    Initial values are "glorot", the default of get_variable, with zero biases
    (X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward
    neural networks", 2010); or "normal", drawn from N(0, 1).
    """
    normal = tf.random_normal_initializer() if initial == "normal" else None
    w = tf.get_variable("w_variable", shape, initializer=normal)
    zeros = tf.zeros_initializer()
    b = tf.get_variable("b_variable", shape[-1:], initializer=normal or zeros)
    return w, b


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
        x = tf.nn.relu(x, name="relu")
        return tf.nn.max_pool2d(x, 2, strides=2, padding="SAME", name="pool")


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
        return x


def dropout(
    x: tf.Tensor, keep_prob: tf.Tensor | None, key: RandomKey | None, layer: int = 0
) -> tf.Tensor:
    """Zero each unit with probability 1 - keep_prob, scale the rest by 1 / keep_prob.

    G. Hinton et al., "Improving neural networks by preventing co-adaptation of feature
    detectors", 2012.

    Args:
        x: float tensor of any shape.
        keep_prob: float32 scalar; None leaves `x` as it is and adds nothing to the
            graph.
        key: of `random_key`; with `layer` it decides the mask.
        layer: keeps the masks of one network's layers apart.
    """
    if keep_prob is None:
        return x

    def drop() -> tf.Tensor:
        layer_numbers = key.numbers - tf.constant([layer * KEYS_PER_LAYER, 0], tf.int64)
        kept = uniform(tf.shape(x), key._replace(numbers=layer_numbers)) < keep_prob
        return tf.where(kept, x / tf.cast(keep_prob, x.dtype), tf.zeros_like(x))

    return tf.identity(tf.cond(keep_prob < 1.0, drop, lambda: x), "dropout")


# ----------------------------------------------------------------------- networks


def cnn(
    images: tf.Tensor,
    keep_prob: tf.Tensor | None = None,
    key: RandomKey | None = None,
    *,
    kernel_size: int,
    conv_1_filters: int,
    conv_2_filters: int,
    fc_units: int,
) -> tf.Tensor:
    """Two convolutions, each with pooling, and two fully connected layers.

    Args:
        images: float32 tensor of shape [batch_size, 28, 28, 1], values in [0, 1].
        keep_prob: share of the fc units that `dropout` keeps; None: no dropout.
        key: decides which ones.
        kernel_size: of both convolutions, pixels.
        conv_1_filters: channels after the first convolution.
        conv_2_filters: channels after the second.
        fc_units: units of the fully connected layer.

    Returns:
        Logits, float32 tensor of shape [batch_size, 10].
    """
    x = images  # [n, 28, 28, 1]
    x = conv(x, "layer_1", conv_1_filters, kernel_size=kernel_size)  # [n, 14, 14, 32]
    x = conv(x, "layer_2", conv_2_filters, kernel_size=kernel_size)  # [n, 7, 7, 64]
    x = tf.reshape(x, [-1, math.prod(x.shape[1:])])  # [n, 3136]
    x = fc(x, "full_connection_1", fc_units, activation="relu")  # [n, 1024]
    x = dropout(x, keep_prob, key)  # [n, 1024]
    return fc(x, "full_connection_2", CLASSES, activation=None)  # [n, 10]


def mlp(
    images: tf.Tensor,
    keep_prob: tf.Tensor | None = None,
    key: RandomKey | None = None,
    *,
    units: Sequence[int],
    activation: str = "relu",
    initial: str = "glorot",
    input_dropout: bool = False,
) -> tf.Tensor:
    """Fully connected layers, dropout after each hidden one.

    Args:
        images: float32 tensor of shape [batch_size, 28, 28, 1], values in [0, 1].
        keep_prob: share of the units that `dropout` keeps; None: no dropout.
        key: decides which ones.
        units: of the hidden layers.
        activation: of the hidden layers, "relu" or "sigmoid".
        initial: values of the variables, see `_weights`.
        input_dropout: whether pixels are dropped as well.

    Returns:
        Logits, float32 tensor of shape [batch_size, 10].
    """
    x = tf.reshape(images, [-1, PIXELS])  # [n, 784]
    if input_dropout:
        x = dropout(x, keep_prob, key, layer=0)
    for layer, size in enumerate(units, 1):
        scope = f"full_connection_{layer}"
        x = fc(x, scope, size, activation=activation, initial=initial)  # [n, size]
        x = dropout(x, keep_prob, key, layer=layer)
    scope = f"full_connection_{len(units) + 1}"
    return fc(x, scope, CLASSES, activation=None, initial=initial)  # [n, 10]


NETWORKS = {name: cnn if name == "cnn" else mlp for name in ARCHITECTURES}


def as_images(pixels: tf.Tensor) -> tf.Tensor:
    """Reshape [batch_size, 784] pixels to [batch_size, 28, 28, 1] images."""
    return tf.reshape(pixels, [-1, IMAGE_SIZE, IMAGE_SIZE, 1])


def inference(
    images: tf.Tensor,
    network: str,
    architecture: dict[str, Any],
    keep_prob: tf.Tensor | None = None,
    key: RandomKey | None = None,
) -> tf.Tensor:
    """Build a network; return its logits, float32 of shape [batch_size, 10].

    Args:
        images: float32 tensor of shape [batch_size, 28, 28, 1], values in [0, 1].
        network: a name in NETWORKS.
        architecture: the keyword arguments of its function.
        keep_prob: share of the units that `dropout` keeps; None: no dropout.
        key: of `random_key`, decides which ones.
    """
    return NETWORKS[network](images, keep_prob, key, **architecture)


def zeros_to_restore(
    getter: Callable[..., tf.Variable], *args: object, **options: object
) -> tf.Variable:
    """Custom getter for a variable scope: variables without random initial values.

    A network that is restored needs none, and its graph then has no random operation.
    """
    return getter(*args, **options | {"initializer": tf.zeros_initializer()})


# --------------------------------------------------------------------------- loss


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


def loss(
    logits: tf.Tensor, labels: tf.Tensor, name: str, label_smoothing: float
) -> tf.Tensor:
    """Return the mean loss of a batch, a float32 scalar.

    Args:
        logits: float32 tensor of shape [batch_size, 10].
        labels: int32 tensor of shape [batch_size], 0 to 9.
        name: a name in LOSSES.
        label_smoothing: share of the target spread over all digits.
    """
    return tf.reduce_mean(
        LOSSES[name](logits, smoothed_targets(labels, label_smoothing))
    )


def probabilities(logits: tf.Tensor, temperature: float) -> tf.Tensor:
    """Return the probability of each digit, float32 of shape [batch_size, 10].

    That is softmax after training with the quadratic loss, too: its sigmoid outputs,
    divided by their sum, are further from the truth at any temperature.

    Args:
        logits: float32 tensor of shape [batch_size, 10].
        temperature: what calibration.fit_temperature found for such logits. It makes
            the network less sure, if above 1, or surer; its answers are the same.
    """
    return tf.nn.softmax(logits / temperature)


# ----------------------------------------------------------------------- training

OPTIMIZERS = {
    "adam": tf.train.AdamOptimizer,
    "rmsprop": tf.train.RMSPropOptimizer,  # its decay is 0.9 unless told otherwise
    "sgd": tf.train.GradientDescentOptimizer,
}


SCHEDULES = {  # share of the peak, by the share of the run after the warm-up
    "linear": lambda done: 1 - done,
    "cosine": lambda done: 0.5 * (1 + tf.cos(math.pi * done)),
    "constant": lambda done: 1.0,
}


def learning_rate(
    global_step: tf.Tensor, steps: int, peak: float, schedule: str, warmup: float
) -> tf.Tensor:
    """Return the learning rate of a step, a float32 scalar.

    Args:
        global_step: int64 scalar, 0 at the first step.
        steps: length of the run.
        peak: the rate after the warm-up.
        schedule: "linear" falls to zero at the end of the run; "cosine", too (I.
            Loshchilov, F. Hutter, "SGDR", 2017); "constant" stays.
        warmup: share of the steps in which the rate first rises from zero, linearly.
    """
    step = tf.cast(global_step, tf.float32)
    warmup_steps = warmup * steps
    rise = tf.minimum(1.0, (step + 1) / max(1.0, warmup_steps))
    done = tf.maximum(0.0, step - warmup_steps) / max(1.0, steps - warmup_steps)
    return peak * rise * SCHEDULES[schedule](done)


def training(
    loss: tf.Tensor,
    optimizer: str,
    rate: tf.Tensor,
    global_step: tf.Tensor,
    average: Callable[[tf.Tensor], tf.Tensor] = lambda gradient: gradient,
) -> tuple[tf.Operation, tf.Tensor]:
    """Return the operation that takes and counts one step, and the gradient's norm.

    The norm, a float32 scalar, is Euclidean and over all variables.

    Args:
        loss: float32 scalar to minimise.
        optimizer: a name in OPTIMIZERS.
        rate: float32 scalar, the learning rate.
        global_step: int64 variable.
        average: of a gradient over all workers.
    """
    method = OPTIMIZERS[optimizer](rate)
    gradients = [(average(g), v) for g, v in method.compute_gradients(loss)]
    train_op = method.apply_gradients(gradients, global_step)
    return train_op, tf.linalg.global_norm([gradient for gradient, _ in gradients])


def evaluation(
    logits: tf.Tensor, labels: tf.Tensor, loss_name: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the sum of losses, and what each image is read as.

    A float32 scalar, so that batches of any size add up, and int32 of [batch_size].
    """
    return (
        tf.reduce_sum(LOSSES[loss_name](logits, smoothed_targets(labels, 0.0))),
        tf.argmax(logits, 1, output_type=tf.int32),
    )


# -------------------------------------------------------------------- layer table


def layer_outputs(logits: tf.Tensor) -> list[tf.Tensor]:
    """Return the output of each layer, in order, in the graph of `logits`."""
    # The names that the layers give; TensorFlow numbers equal ones: dropout_1.
    name = re.compile(r"(.*/)?(relu|sigmoid|pool|dropout)(_\d+)?")
    operations = logits.graph.get_operations()
    layers = [op for op in operations if name.fullmatch(op.name)]
    return [*(op.outputs[0] for op in layers), logits]


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the layer table, with dropout as in training.

    Args:
        arguments: flags and their values; None for those of the command line.
    """
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, default="cnn")
    network = parser.parse_args(arguments).network
    with tf.Graph().as_default():
        images = as_images(tf.placeholder(tf.float32, [None, PIXELS]))
        key = random_key(0, tf.constant(0), stream=1)
        keep_prob = tf.constant(1.0)
        logits = inference(images, network, ARCHITECTURES[network], keep_prob, key)
        print(layer_table(layer_outputs(logits), tf.trainable_variables()))


if __name__ == "__main__":
    cli.run(main)
