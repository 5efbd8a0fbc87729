"""Keras in the words of its first versions, against what tf-keras calls the same."""

from collections.abc import Iterator

import numpy as np
import pytest

from common.session import tf

pytest.importorskip("tf_keras", reason="Keras 2 for tf1.py: requirements-tf1.txt")
from tensorflow_1 import keras_1
from tensorflow_1.keras_1 import keras


@pytest.fixture(autouse=True)
def graph() -> Iterator[None]:
    """A graph of its own for each test; channels last afterwards."""
    with tf.Graph().as_default():
        yield
        keras.backend.set_image_data_format("channels_last")


def test_layers_take_the_arguments_of_keras_1() -> None:
    dense = keras_1.Dense(output_dim=7, init="uniform", W_regularizer="l2", bias=False)
    assert (dense.units, dense.use_bias, dense.name[:5]) == (7, False, "dense")
    assert dense.get_config() == keras.layers.Dense(
        7,
        kernel_initializer="uniform",
        kernel_regularizer="l2",
        use_bias=False,
        name=dense.name,
    ).get_config() | {"name": dense.name}
    for conv in (
        keras_1.Conv2D(8, 3, 5, border_mode="same", subsample=(2, 1)),
        keras_1.Conv2D(nb_filter=8, nb_row=3, nb_col=5, padding="same", strides=(2, 1)),
        keras_1.Conv2D(8, (3, 5), padding="same", strides=(2, 1)),
    ):
        assert (conv.filters, conv.kernel_size) == (8, (3, 5))
        assert (conv.padding, conv.strides) == ("same", (2, 1))
    assert keras_1.Dropout(p=0.3).rate == 0.3


@pytest.mark.parametrize("pool", [keras_1.MaxPooling2D, keras_1.AveragePooling2D])
def test_channels_first_gives_the_same_numbers(pool: type) -> None:
    images = np.random.default_rng(0).random((3, 9, 7, 2), np.float32)
    models = []
    for order, shape in (("tf", (9, 7, 2)), ("th", (2, 9, 7))):
        keras_1.set_image_dim_ordering(order)
        assert keras_1.image_dim_ordering() == order
        models.append(
            keras_1.Sequential(
                [
                    keras_1.Conv2D(4, 3, 2, activation="relu", input_shape=shape),
                    pool(pool_size=(2, 2)),
                ]
            )
        )
    models[1].set_weights(models[0].get_weights())
    expected = models[0].predict(images)
    found = models[1].predict(images.transpose(0, 3, 1, 2))
    assert found.shape == (3, 4, 3, 3)
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "rate"),
    [("Adadelta", 1.0), ("Adagrad", 0.01), ("Adamax", 0.002), ("Nadam", 0.002)],
)
def test_optimizers_have_their_old_learning_rates(name: str, rate: float) -> None:
    kind = getattr(keras_1, name)
    assert kind().get_config()["learning_rate"] == rate
    assert kind(lr=0.3).get_config()["learning_rate"] == 0.3
    assert kind(0.4).get_config()["learning_rate"] == 0.4
    model = keras_1.Sequential([keras_1.Dense(2, input_dim=3)])
    model.compile(name.lower(), "mse")
    assert model.optimizer.get_config()["learning_rate"] == rate


def test_models_have_their_old_methods() -> None:
    inputs = keras.Input((3,))
    outputs = keras_1.Dense(output_dim=2, activation="softmax")(inputs)
    for model in (
        keras_1.Model(input=inputs, output=outputs),
        keras_1.Sequential([keras_1.Dense(2, activation="softmax", input_shape=(3,))]),
    ):
        model.compile("sgd", "categorical_crossentropy")
        x, y = np.eye(3, dtype="f"), np.eye(2)[[0, 1, 1]]
        run = model.fit(x, y, nb_epoch=4, verbose=0)
        assert len(run.history["loss"]) == 4
        with pytest.raises(KeyError):
            run.history["val_acc"]
        classes = model.predict_classes(x)
        np.testing.assert_array_equal(classes, model.predict_proba(x).argmax(1))
