"""Cells of tf.contrib.rnn that tf-keras lacks, on the cells that it has."""

from collections.abc import Callable
from typing import Any

from tf_keras.api._v1.keras.__internal__.legacy.rnn_cell import RNNCell

from tensorflow_1.calls import tf  # by now `common` is a name of the script's

Tensor = Any


def _linear(x: Tensor, units: int) -> Tensor:
    """Return x @ kernel + bias, of shape [batch_size, units], in the current scope."""
    kernel = tf.get_variable("kernel", [x.shape[-1], units])
    zeros = tf.zeros_initializer()
    return tf.matmul(x, kernel) + tf.get_variable("bias", [units], initializer=zeros)


class _Wrapper(RNNCell):
    """A cell with the states of another one."""

    def __init__(
        self,
        cell: RNNCell,
        units: int,
        activation: Callable[[Tensor], Tensor] | None = None,
        reuse: bool | None = None,
    ) -> None:
        """Wrap a cell.

        Args:
            cell: the cell.
            units: of the projection.
            activation: of the projection; None for none.
            reuse: whether its variables exist already.
        """
        super().__init__(_reuse=reuse)
        self._cell, self._units = cell, units
        self._activation = activation or (lambda x: x)

    @property
    def state_size(self) -> Any:  # noqa: ANN401
        """The sizes of the wrapped cell's states."""
        return self._cell.state_size

    def zero_state(self, batch_size: Tensor, dtype: tf.DType) -> Any:  # noqa: ANN401
        """Return the wrapped cell's states before the first step."""
        return self._cell.zero_state(batch_size, dtype)


class OutputProjectionWrapper(_Wrapper):
    """A cell whose outputs go through a fully connected layer."""

    @property
    def output_size(self) -> int:
        """The units of that layer."""
        return self._units

    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:  # noqa: ANN401
        """Take a step."""
        output, state = self._cell(inputs, state)
        return self._activation(_linear(output, self._units)), state


class InputProjectionWrapper(_Wrapper):
    """A cell whose inputs come through a fully connected layer."""

    @property
    def output_size(self) -> int:
        """The units of the wrapped cell."""
        return self._cell.output_size

    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:  # noqa: ANN401
        """Take a step."""
        return self._cell(self._activation(_linear(inputs, self._units)), state)
