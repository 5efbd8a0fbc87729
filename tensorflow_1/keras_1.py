"""Keras 1 and 2 as scripts call them, on tf-keras: old arguments and old defaults.

Imported when a script asks for Keras; tf-keras takes seconds.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tf_keras.api._v1 import keras
from tf_keras.api._v1.keras import layers, optimizers
from tf_keras.src.engine import functional, training_v1

Tensor = Any

# ------------------------------------------------------------------------- layers

# What Keras 1 called the arguments of layers, and Keras 2 calls them.
ARGUMENTS = {
    "W_regularizer": "kernel_regularizer",
    "U_constraint": "recurrent_constraint",
    "U_regularizer": "recurrent_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer",
    "bias": "use_bias",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "dropout_U": "recurrent_dropout",
    "dropout_W": "dropout",
    "init": "kernel_initializer",
    "inner_activation": "recurrent_activation",
    "inner_init": "recurrent_initializer",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "subsample": "strides",
}
DATA_FORMATS = {"tf": "channels_last", "th": "channels_first"}


def _translated(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of Keras 1 as Keras 2 takes them."""
    new = {ARGUMENTS.get(name, name): value for name, value in options.items()}
    if new.get("data_format") in DATA_FORMATS:
        new["data_format"] = DATA_FORMATS[new["data_format"]]
    if "nb_row" in new:
        new["kernel_size"] = (new.pop("nb_row"), new.pop("nb_col"))
    return new


class _ChannelsFirst:
    """Lets a layer of pictures take channels first, which TensorFlow's CPU does not."""

    def call(self, inputs: Tensor) -> Tensor:
        """Call the layer with the channels moved to the end, and move them back."""
        if self.data_format == "channels_last":
            return super().call(inputs)
        self.data_format, self._tf_data_format = "channels_last", "NHWC"
        outputs = super().call(keras.backend.permute_dimensions(inputs, (0, 2, 3, 1)))
        self.data_format, self._tf_data_format = "channels_first", "NCHW"
        return keras.backend.permute_dimensions(outputs, (0, 3, 1, 2))


def _layer(*bases: type) -> type:
    """Return a layer, the last of `bases`, that takes Keras 1's arguments, too."""

    class Layer(*bases):
        def __init__(self, *args: object, **options: object) -> None:
            sizes = args[1:3]  # Keras 1: rows, columns; Keras 2: size, strides
            by_numbers = len(sizes) == 2 and all(isinstance(n, int) for n in sizes)
            if issubclass(bases[-1], layers.Conv2D) and by_numbers:
                filters, rows, columns, *rest = args
                args = (filters, (rows, columns), *rest)
            super().__init__(*args, **_translated(options))

    Layer.__name__ = Layer.__qualname__ = bases[-1].__name__
    return Layer


Dense = _layer(layers.Dense)
Dropout = _layer(layers.Dropout)
Conv2D = _layer(_ChannelsFirst, layers.Conv2D)
MaxPooling2D = _layer(_ChannelsFirst, layers.MaxPooling2D)
AveragePooling2D = _layer(_ChannelsFirst, layers.AveragePooling2D)
UpSampling2D = _layer(layers.UpSampling2D)
ZeroPadding2D = _layer(layers.ZeroPadding2D)
LSTM = _layer(layers.LSTM)
GRU = _layer(layers.GRU)
SimpleRNN = _layer(layers.SimpleRNN)


def image_dim_ordering() -> str:
    """Return Keras 1's word for keras.backend.image_data_format()."""
    names = {new: old for old, new in DATA_FORMATS.items()}
    return names[keras.backend.image_data_format()]


def set_image_dim_ordering(dim_ordering: str) -> None:
    """keras.backend.set_image_data_format, in Keras 1's words: tf or th."""
    keras.backend.set_image_data_format(DATA_FORMATS[dim_ordering])


# --------------------------------------------------------------------- optimizers


def _optimizer(base: type, lr: float) -> type:
    """Return an optimizer with the learning rate that was its default."""

    class Optimizer(base):
        def __init__(self, *args: object, **options: object) -> None:
            if not args and not options.keys() & {"lr", "learning_rate"}:
                options["learning_rate"] = lr
            super().__init__(*args, **options)

    Optimizer.__name__ = Optimizer.__qualname__ = base.__name__
    return Optimizer


# tf-keras starts all of these with 0.001; a network hardly learns with that.
Adadelta = _optimizer(optimizers.Adadelta, 1.0)
Adagrad = _optimizer(optimizers.Adagrad, 0.01)
Adamax = _optimizer(optimizers.Adamax, 0.002)
Nadam = _optimizer(optimizers.Nadam, 0.002)
BY_NAME = {kind.__name__.lower(): kind for kind in (Adadelta, Adagrad, Adamax, Nadam)}

# -------------------------------------------------------------------------- models


class _Curves(dict):
    """The history of a run, whose accuracy Keras calls acc, and later accuracy."""

    def __missing__(self, key: str) -> list[float]:
        if "accuracy" not in key:
            raise KeyError(key)
        return self[key.replace("accuracy", "acc")]


class _Model:
    """The methods of models that have changed."""

    def compile(
        self, optimizer: object = "rmsprop", *args: object, **options: object
    ) -> None:
        """Prepare for training; an optimizer's name stands for its old defaults."""
        if isinstance(optimizer, str) and optimizer.lower() in BY_NAME:
            optimizer = BY_NAME[optimizer.lower()]()
        _COMPILE(self, optimizer, *args, **options)

    def fit(
        self, *args: object, nb_epoch: int | None = None, **options: object
    ) -> object:
        """Train; epochs were called nb_epoch."""
        if nb_epoch is not None:
            options["epochs"] = nb_epoch
        # Callbacks that wait for another name would never do anything.
        for callback in options.get("callbacks") or []:
            monitor = getattr(callback, "monitor", None) or ""
            if monitor.removeprefix("val_") not in self.metrics_names:
                callback.monitor = monitor.replace("accuracy", "acc")
        run = _FIT(self, *args, **options)
        run.history = _Curves(run.history)
        return run

    def predict_classes(
        self, x: np.ndarray, batch_size: int = 32, verbose: int = 0
    ) -> np.ndarray:
        """Return the class of each example."""
        outputs = self.predict(x, batch_size=batch_size, verbose=verbose)
        if outputs.shape[-1] > 1:
            return outputs.argmax(axis=-1)
        return (outputs > 0.5).astype("int32")

    def predict_proba(
        self, x: np.ndarray, batch_size: int = 32, verbose: int = 0
    ) -> np.ndarray:
        """Return the network's outputs."""
        return self.predict(x, batch_size=batch_size, verbose=verbose)


# Keras makes models of its own classes, too, when it loads or copies one.
_COMPILE, _FIT = training_v1.Model.compile, training_v1.Model.fit
for _name in ("compile", "fit", "predict_classes", "predict_proba"):
    setattr(training_v1.Model, _name, vars(_Model)[_name])


def _new_names(method: Callable) -> Callable:
    """Return a method that takes input and output for inputs and outputs."""

    @functools.wraps(method)
    def call(*args: object, **options: object) -> object:
        names = {"input": "inputs", "output": "outputs"}
        return method(*args, **{names.get(k, k): v for k, v in options.items()})

    return call


Sequential, Model = keras.Sequential, keras.Model
Model.__new__ = staticmethod(_new_names(Model.__new__))
functional.Functional.__init__ = _new_names(functional.Functional.__init__)
load_model, model_from_json = keras.models.load_model, keras.models.model_from_json
