"""tf.contrib.layers: its layers, initializers and regularizers, on what tf.nn has.

The variables have contrib's names, `Conv/weights` or `BatchNorm/beta`, and are in its
collections, so that a script finds them, and restores what it saved in TensorFlow 1.
The arguments are described in docs/tensorflow-1.md.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, TypeVar

from common.session import tf
from tensorflow_1.arg_scope import add_arg_scope, arg_scope

__all__ = [
    "add_arg_scope",
    "apply_regularization",
    "arg_scope",
    "avg_pool2d",
    "batch_norm",
    "bias_add",
    "conv2d",
    "conv2d_transpose",
    "convolution2d",
    "convolution2d_transpose",
    "dropout",
    "elu",
    "flatten",
    "fully_connected",
    "l1_l2_regularizer",
    "l1_regularizer",
    "l2_regularizer",
    "layer_norm",
    "linear",
    "max_pool2d",
    "one_hot_encoding",
    "relu",
    "relu6",
    "repeat",
    "softmax",
    "stack",
    "sum_regularizer",
    "variance_scaling_initializer",
    "xavier_initializer",
    "xavier_initializer_conv2d",
]

Size = int | Sequence[int]  # of a kernel or a stride, in pixels
Flag = bool | int | tf.Tensor
Scope = str | tf.VariableScope | None
Collections = str | Sequence[str] | dict[str, Sequence[str]] | None
Tensors = TypeVar("Tensors")

# ------------------------------------------------------------------- initializers


def xavier_initializer(
    uniform: bool = True, seed: int | None = None, dtype: tf.DType = tf.float32
) -> Callable:
    """Return Glorot's initializer: variance 2 / (inputs + outputs)."""
    return variance_scaling_initializer(1.0, "FAN_AVG", uniform, seed, dtype)


xavier_initializer_conv2d = xavier_initializer


def variance_scaling_initializer(
    factor: float = 2.0,
    mode: str = "FAN_IN",
    uniform: bool = False,
    seed: int | None = None,
    dtype: tf.DType = tf.float32,
) -> Callable:
    """Return an initializer of variance `factor` / n, by default He's.

    Args:
        factor: 2 for relu, 1 for linear units.
        mode: n is FAN_IN, the inputs of a unit; FAN_OUT, its outputs; FAN_AVG, half
            their sum.
        uniform: draw from a uniform distribution instead of a truncated normal one.
        seed: of the random numbers.
        dtype: of the variable.
    """
    distribution = "uniform" if uniform else "truncated_normal"
    return tf.variance_scaling_initializer(
        factor, mode.lower(), distribution, seed, dtype
    )


GLOROT, ZEROS, ONES = (
    xavier_initializer(),
    tf.zeros_initializer(),
    tf.ones_initializer(),
)

# ------------------------------------------------------------------- regularizers


def l1_regularizer(scale: float, scope: str | None = None) -> Callable:
    """Return the function of weights: `scale` times the sum of absolute values."""
    return _regularizer(scale, scope or "l1_regularizer", tf.abs)


def l2_regularizer(scale: float, scope: str | None = None) -> Callable:
    """Return the function of weights: `scale` times half the sum of squares."""
    return _regularizer(scale, scope or "l2_regularizer", lambda w: tf.square(w) / 2)


def _regularizer(scale: float, scope: str, penalty: Callable) -> Callable:
    if scale < 0:
        raise ValueError(f"scale of a regularizer is {scale}; it must be at least 0")
    if scale == 0:
        return lambda weights: None

    def penalize(weights: tf.Variable) -> tf.Tensor:
        with tf.name_scope(scope):
            return tf.multiply(scale, tf.reduce_sum(penalty(weights)))

    return penalize


def l1_l2_regularizer(
    scale_l1: float = 1.0, scale_l2: float = 1.0, scope: str | None = None
) -> Callable:
    """Return the sum of the two regularizers."""
    both = [l1_regularizer(scale_l1), l2_regularizer(scale_l2)]
    return sum_regularizer(both, scope)


def sum_regularizer(
    regularizer_list: Sequence[Callable], scope: str | None = None
) -> Callable:
    """Return the function of weights that adds up what several regularizers give."""

    def penalize(weights: tf.Variable) -> tf.Tensor | None:
        with tf.name_scope(scope or "sum_regularizer"):
            penalties = [regularizer(weights) for regularizer in regularizer_list]
            penalties = [p for p in penalties if p is not None]
            return tf.add_n(penalties) if penalties else None

    return penalize


def apply_regularization(
    regularizer: Callable, weights_list: Iterable[tf.Variable] | None = None
) -> tf.Tensor:
    """Return the summed penalty of weights; it joins the regularization losses.

    `weights_list` is by default the collection WEIGHTS.
    """
    if not weights_list:
        weights_list = tf.get_collection(tf.GraphKeys.WEIGHTS)
    if not weights_list:
        raise ValueError("no weights to regularize")
    penalties = [p for p in map(regularizer, weights_list) if p is not None]
    penalty = tf.add_n(penalties or [tf.constant(0.0)], "apply_regularization")
    tf.add_to_collection(tf.GraphKeys.REGULARIZATION_LOSSES, penalty)
    return penalty


# ------------------------------------------------------------- what layers share


@dataclasses.dataclass
class Options:
    """The arguments that layers with weights share, in the order they take them.

    Attributes:
        activation_fn: None for a linear layer.
        normalizer_fn: `batch_norm` for example; there are no biases then.
        normalizer_params: its arguments.
        weights_initializer: as get_variable takes it.
        weights_regularizer: its penalty joins REGULARIZATION_LOSSES.
        biases_initializer: None for a layer without biases.
        biases_regularizer: as of the weights.
        reuse: as variable_scope takes it.
        variables_collections: that the variables join, a list, or a dictionary of lists
            by the variable's name.
        outputs_collections: that the output joins.
        trainable: whether optimizers change the variables.
        scope: name of the layer, or its VariableScope.
    """

    activation_fn: Callable | None = tf.nn.relu
    normalizer_fn: Callable | None = None
    normalizer_params: dict[str, Any] | None = None
    weights_initializer: Callable = GLOROT
    weights_regularizer: Callable | None = None
    biases_initializer: Callable | None = ZEROS
    biases_regularizer: Callable | None = None
    reuse: bool | None = None
    variables_collections: Collections = None
    outputs_collections: Collections = None
    trainable: bool = True
    scope: Scope = None


def _layer(
    inputs: tf.Tensor,
    name: str,
    weights_shape: Callable[[int], list[int]],
    num_outputs: int,
    apply: Callable[[tf.Tensor, tf.Variable], tf.Tensor],
    options: Options,
) -> tf.Tensor:
    """Build a layer: weights, then the normalizer or biases, then the activation.

    Args:
        inputs: tensor of shape [..., channels].
        name: of the variable scope, unless the options name one.
        weights_shape: of the number of channels.
        num_outputs: length of the biases.
        apply: multiplies the inputs by the weights.
        options: see there.
    """
    with tf.variable_scope(options.scope, name, [inputs], reuse=options.reuse):
        x = tf.convert_to_tensor(inputs)
        create = functools.partial(
            _variable,
            dtype=x.dtype.base_dtype,
            collections=options.variables_collections,
            trainable=options.trainable,
        )
        weights = create(
            "weights",
            weights_shape(int(x.shape[-1])),
            initializer=options.weights_initializer,
            regularizer=options.weights_regularizer,
        )
        x = apply(x, weights)
        if options.normalizer_fn is not None:
            x = options.normalizer_fn(x, **options.normalizer_params or {})
        elif options.biases_initializer is not None:
            biases = create(
                "biases",
                [num_outputs],
                initializer=options.biases_initializer,
                regularizer=options.biases_regularizer,
            )
            x = tf.nn.bias_add(x, biases)
        if options.activation_fn is not None:
            x = options.activation_fn(x)
        return _collect(x, options.outputs_collections)


def _variable(
    name: str,
    shape: Sequence[int],
    dtype: tf.DType,
    initializer: Callable,
    regularizer: Callable | None = None,
    collections: Collections = None,
    trainable: bool = True,
) -> tf.Variable:
    """Return a model variable of the current scope."""
    if isinstance(collections, dict):
        collections = collections.get(name)
    keys = [tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MODEL_VARIABLES]
    return tf.get_variable(
        name,
        shape,
        dtype,
        initializer,
        regularizer,
        trainable,
        collections=[*keys, *(key for key in collections or () if key not in keys)],
    )


def _collect(output: tf.Tensor, collections: str | Sequence[str] | None) -> tf.Tensor:
    if collections:
        tf.add_to_collections(collections, output)
    return output


def _pair(size: Size) -> list[int]:
    return [size, size] if isinstance(size, Integral) else list(size)


def _strides(stride: Size) -> list[int]:
    return [1, *_pair(stride), 1]


def _require_nhwc(data_format: str | None) -> None:
    if data_format not in (None, "NHWC"):
        raise ValueError(f"data_format is {data_format}; a CPU takes NHWC alone")


# ------------------------------------------------------------ layers with weights


@add_arg_scope
def fully_connected(
    inputs: tf.Tensor, num_outputs: int, *args: object, **options: object
) -> tf.Tensor:
    """Fully connected layer of a [..., n] tensor: [..., num_outputs]; see `Options`."""

    def multiply(x: tf.Tensor, weights: tf.Variable) -> tf.Tensor:
        if x.shape.ndims == 2:
            return tf.matmul(x, weights)
        outer = x.shape.as_list()[:-1]
        x = tf.tensordot(x, weights, 1)
        x.set_shape([*outer, num_outputs])
        return x

    return _layer(
        inputs,
        "fully_connected",
        lambda channels: [channels, num_outputs],
        num_outputs,
        multiply,
        Options(*args, **options),
    )


linear = functools.partial(fully_connected, activation_fn=None)
relu = functools.partial(fully_connected, activation_fn=tf.nn.relu)
relu6 = functools.partial(fully_connected, activation_fn=tf.nn.relu6)
elu = functools.partial(fully_connected, activation_fn=tf.nn.elu)


@add_arg_scope
def convolution2d(
    inputs: tf.Tensor,
    num_outputs: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: str = "SAME",
    data_format: str | None = None,
    rate: Size = 1,
    *args: object,
    **options: object,
) -> tf.Tensor:
    """Convolution of [batch_size, height, width, channels]; see `Options`.

    Args:
        inputs: float tensor.
        num_outputs: channels of the output.
        kernel_size: pixels.
        stride: pixels.
        padding: SAME or VALID.
        data_format: NHWC.
        rate: dilation of the kernel, pixels.
        *args: options by position.
        **options: options by name.
    """
    _require_nhwc(data_format)
    return _layer(
        inputs,
        "Conv",
        lambda channels: [*_pair(kernel_size), channels, num_outputs],
        num_outputs,
        lambda x, weights: tf.nn.conv2d(
            x, weights, _strides(stride), padding.upper(), dilations=_strides(rate)
        ),
        Options(*args, **options),
    )


@add_arg_scope
def convolution2d_transpose(
    inputs: tf.Tensor,
    num_outputs: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: str = "SAME",
    data_format: str | None = None,
    *args: object,
    **options: object,
) -> tf.Tensor:
    """Transposed convolution: height and width grow `stride` times; see `Options`.

    With padding VALID they grow, too, by what the kernel is larger than the stride.
    The arguments are those of `convolution2d`.
    """
    _require_nhwc(data_format)
    kernel, strides = _pair(kernel_size), _pair(stride)

    def transpose(x: tf.Tensor, weights: tf.Variable) -> tf.Tensor:
        known, sizes = x.shape.as_list(), tf.shape(x)
        shape = [known[0] or sizes[0], 0, 0, num_outputs]
        for axis in (1, 2):
            k, s = kernel[axis - 1], strides[axis - 1]
            extra = max(k - s, 0) if padding.upper() == "VALID" else 0
            shape[axis] = (known[axis] or sizes[axis]) * s + extra
        return tf.nn.conv2d_transpose(
            x, weights, tf.stack(shape), _strides(stride), padding.upper()
        )

    return _layer(
        inputs,
        "Conv2d_transpose",
        lambda channels: [*kernel, num_outputs, channels],
        num_outputs,
        transpose,
        Options(*args, **options),
    )


conv2d = convolution2d
conv2d_transpose = convolution2d_transpose

# -------------------------------------------------------------- layers of statistics


def _constant(value: Flag) -> bool | None:
    """Return a flag's value; None for a tensor that is not known yet."""
    if isinstance(value, tf.Tensor | tf.Variable):
        known = tf.get_static_value(value)
        return None if known is None else bool(known)
    return bool(value)


def _choose(
    flag: Flag, yes: Callable[[], Tensors], no: Callable[[], Tensors]
) -> Tensors:
    """Return yes() or no(), or a tf.cond of the two."""
    known = _constant(flag)
    if known is None:
        return tf.cond(tf.cast(flag, tf.bool), yes, no)
    return yes() if known else no()


@add_arg_scope
def batch_norm(
    inputs: tf.Tensor,
    decay: float = 0.999,
    center: bool = True,
    scale: bool = False,
    epsilon: float = 0.001,
    activation_fn: Callable | None = None,
    param_initializers: dict[str, Callable] | None = None,
    param_regularizers: dict[str, Callable] | None = None,
    updates_collections: Collections = tf.GraphKeys.UPDATE_OPS,
    is_training: Flag = True,
    reuse: bool | None = None,
    variables_collections: Collections = None,
    outputs_collections: Collections = None,
    trainable: bool = True,
    batch_weights: None = None,
    fused: bool | None = None,
    data_format: str = "NHWC",
    zero_debias_moving_mean: bool = False,
    scope: Scope = None,
    renorm: bool = False,
) -> tf.Tensor:
    """Normalize each channel of a [..., channels] tensor.

    S. Ioffe, C. Szegedy, "Batch Normalization", 2015. The arguments are contrib's:
    `updates_collections` get what updates the moving averages, None runs it with the
    layer; `is_training` may be a tensor; `fused=False` leaves the moving variance that
    of the batch, which is else the unbiased estimate of contrib's fused kernel.

    Raises:
        ValueError: an argument that is not served has another value.
    """
    _require_nhwc(data_format)
    if batch_weights is not None or zero_debias_moving_mean or renorm:
        raise ValueError(
            "batch_norm has no batch_weights, zero_debias_moving_mean and renorm here: "
            "leave them out"
        )
    initial, penalties = param_initializers or {}, param_regularizers or {}
    with tf.variable_scope(scope, "BatchNorm", [inputs], reuse=reuse):
        x = tf.convert_to_tensor(inputs)
        form = [int(x.shape[-1])], x.dtype.base_dtype

        def create(name: str, value: Callable, trains: bool) -> tf.Variable:
            how = initial.get(name, value), penalties.get(name)
            return _variable(name, *form, *how, variables_collections, trains)

        beta = create("beta", ZEROS, trainable) if center else None
        gamma = create("gamma", ONES, trainable) if scale else None
        starts = {"moving_mean": ZEROS, "moving_variance": ONES}
        moving = [create(*start, False) for start in starts.items()]
        axes = list(range(x.shape.ndims - 1))
        moments = _choose(
            is_training, lambda: tuple(tf.nn.moments(x, axes)), lambda: tuple(moving)
        )
        output = tf.nn.batch_normalization(x, *moments, beta, gamma, epsilon)
        output.set_shape(x.shape)
        updates = _moving_updates(x, moving, moments, decay, fused, is_training)
        output = _with_updates(output, updates, updates_collections)
        return _collect((activation_fn or _same)(output), outputs_collections)


def _same(x: tf.Tensor) -> tf.Tensor:
    return x


def _moving_updates(
    x: tf.Tensor,
    moving: Sequence[tf.Variable],
    moments: Sequence[tf.Tensor],
    decay: float,
    fused: bool | None,
    is_training: Flag,
) -> list[tf.Tensor]:
    """Return what moves the averages towards the batch's mean and variance."""

    def update() -> list[tf.Tensor]:
        n = tf.cast(tf.size(x) / tf.shape(x)[-1], x.dtype)
        unbiased = 1.0 if fused is False else n / tf.maximum(n - 1, 1)
        seen = moments[0], moments[1] * unbiased
        return [
            tf.assign_sub(average, (average - new) * (1 - decay))
            for average, new in zip(moving, seen, strict=True)
        ]

    if _constant(is_training) is False:
        return []
    return _choose(is_training, update, lambda: [average + 0 for average in moving])


def _with_updates(
    output: tf.Tensor, updates: list[tf.Tensor], collections: Collections
) -> tf.Tensor:
    """Return the output, which runs the updates where no collection gets them."""
    if collections is None and updates:
        with tf.control_dependencies(updates):
            return tf.identity(output)
    for operation in updates:
        tf.add_to_collections(collections, operation)
    return output


@add_arg_scope
def layer_norm(
    inputs: tf.Tensor,
    center: bool = True,
    scale: bool = True,
    activation_fn: Callable | None = None,
    reuse: bool | None = None,
    variables_collections: Collections = None,
    outputs_collections: Collections = None,
    trainable: bool = True,
    begin_norm_axis: int = 1,
    begin_params_axis: int = -1,
    scope: Scope = None,
) -> tf.Tensor:
    """Normalize each example over its axes from `begin_norm_axis` on.

    J. Ba, J. Kiros, G. Hinton, "Layer Normalization", 2016.
    """
    with tf.variable_scope(scope, "LayerNorm", [inputs], reuse=reuse):
        x = tf.convert_to_tensor(inputs)
        shape = x.shape.as_list()[begin_params_axis:]
        options = (variables_collections, trainable)
        beta = gamma = None
        if center:
            beta = _variable("beta", shape, x.dtype.base_dtype, ZEROS, None, *options)
        if scale:
            gamma = _variable("gamma", shape, x.dtype.base_dtype, ONES, None, *options)
        axes = list(range(x.shape.ndims))[begin_norm_axis:]
        mean, variance = tf.nn.moments(x, axes, keepdims=True)
        x = tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-12)
        if activation_fn is not None:
            x = activation_fn(x)
        return _collect(x, outputs_collections)


# --------------------------------------------------------- layers without variables


@add_arg_scope
def max_pool2d(
    inputs: tf.Tensor,
    kernel_size: Size,
    stride: Size = 2,
    padding: str = "VALID",
    data_format: str | None = None,
    outputs_collections: Collections = None,
    scope: str | None = None,
) -> tf.Tensor:
    """Max-pooling of [batch_size, height, width, channels]."""
    _require_nhwc(data_format)
    with tf.name_scope(scope, "MaxPool2D", [inputs]):
        x = tf.nn.max_pool2d(
            inputs, _strides(kernel_size), _strides(stride), padding.upper()
        )
        return _collect(x, outputs_collections)


@add_arg_scope
def avg_pool2d(
    inputs: tf.Tensor,
    kernel_size: Size,
    stride: Size = 2,
    padding: str = "VALID",
    data_format: str | None = None,
    outputs_collections: Collections = None,
    scope: str | None = None,
) -> tf.Tensor:
    """Average-pooling of [batch_size, height, width, channels]."""
    _require_nhwc(data_format)
    with tf.name_scope(scope, "AvgPool2D", [inputs]):
        x = tf.nn.avg_pool2d(
            inputs, _strides(kernel_size), _strides(stride), padding.upper()
        )
        return _collect(x, outputs_collections)


@add_arg_scope
def dropout(
    inputs: tf.Tensor,
    keep_prob: float | tf.Tensor = 0.5,
    noise_shape: tf.Tensor | None = None,
    is_training: Flag = True,
    outputs_collections: Collections = None,
    scope: str | None = None,
    seed: int | None = None,
) -> tf.Tensor:
    """Keep each value with probability `keep_prob`, divided by it; else zero.

    Where `is_training` is false, the inputs are returned.
    """
    with tf.name_scope(scope, "Dropout", [inputs]):
        x = tf.convert_to_tensor(inputs)
        x = _choose(
            is_training,
            lambda: tf.nn.dropout(
                x, rate=1 - keep_prob, noise_shape=noise_shape, seed=seed
            ),
            lambda: tf.identity(x),
        )
        return _collect(x, outputs_collections)


@add_arg_scope
def flatten(
    inputs: tf.Tensor, outputs_collections: Collections = None, scope: str | None = None
) -> tf.Tensor:
    """Reshape a [batch_size, ...] tensor to [batch_size, n]."""
    with tf.name_scope(scope, "Flatten", [inputs]):
        x = tf.convert_to_tensor(inputs)
        sizes = x.shape.as_list()[1:]
        if None in sizes:
            x = tf.reshape(x, [tf.shape(x)[0], -1])
        else:
            x = tf.reshape(x, [-1, math.prod(sizes)])
        return _collect(x, outputs_collections)


@add_arg_scope
def bias_add(
    inputs: tf.Tensor,
    activation_fn: Callable | None = None,
    initializer: Callable = ZEROS,
    regularizer: Callable | None = None,
    reuse: bool | None = None,
    variables_collections: Collections = None,
    outputs_collections: Collections = None,
    trainable: bool = True,
    data_format: str | None = None,
    scope: Scope = None,
) -> tf.Tensor:
    """Add a variable `biases` to the last axis."""
    _require_nhwc(data_format)
    with tf.variable_scope(scope, "BiasAdd", [inputs], reuse=reuse):
        x = tf.convert_to_tensor(inputs)
        shape, dtype = [int(x.shape[-1])], x.dtype.base_dtype
        options = (initializer, regularizer, variables_collections, trainable)
        x = tf.nn.bias_add(x, _variable("biases", shape, dtype, *options))
        if activation_fn is not None:
            x = activation_fn(x)
        return _collect(x, outputs_collections)


@add_arg_scope
def one_hot_encoding(
    labels: tf.Tensor,
    num_classes: int,
    on_value: float = 1.0,
    off_value: float = 0.0,
    outputs_collections: Collections = None,
    scope: str | None = None,
) -> tf.Tensor:
    """Return labels [n] as rows [n, num_classes]."""
    with tf.name_scope(scope, "OneHotEncoding", [labels]):
        x = tf.one_hot(labels, num_classes, on_value, off_value)
        return _collect(x, outputs_collections)


@add_arg_scope
def softmax(logits: tf.Tensor, scope: str | None = None) -> tf.Tensor:
    """Softmax over the last axis."""
    with tf.name_scope(scope, "softmax", [logits]):
        return tf.nn.softmax(logits)


# ------------------------------------------------------------------ several layers


def repeat(
    inputs: tf.Tensor,
    repetitions: int,
    layer: Callable,
    *args: object,
    **options: object,
) -> tf.Tensor:
    """Apply a layer several times with the same arguments: NAME_1, NAME_2, ..."""
    with tf.variable_scope(options.pop("scope", None), "Repeat", [inputs]) as scope:
        x = inputs
        for i in range(1, repetitions + 1):
            x = layer(x, *args, **options, scope=_numbered(scope, "Repeat", layer, i))
        return x


def stack(
    inputs: tf.Tensor, layer: Callable, stack_args: Sequence, **options: object
) -> tf.Tensor:
    """Apply a layer once for each item of `stack_args`, its arguments."""
    with tf.variable_scope(options.pop("scope", None), "Stack", [inputs]) as scope:
        x = inputs
        for i, args in enumerate(stack_args, 1):
            args = args if isinstance(args, list | tuple) else [args]
            x = layer(x, *args, **options, scope=_numbered(scope, "Stack", layer, i))
        return x


def _numbered(scope: tf.VariableScope, default: str, layer: Callable, i: int) -> str:
    """Return the scope of the i-th layer: named as their scope, or as the layer."""
    name = scope.name.rpartition("/")[2]
    if name.startswith(default):
        name = getattr(layer, "func", layer).__name__
    return f"{name}_{i}"
