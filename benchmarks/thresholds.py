"""Vary each threshold of the picture code, and count the digits that are read right.

    python benchmarks/thresholds.py --data_dir data

Each number at the top of handwriting/ink.py and handwriting/find_digits.py is taken as
two thirds and as one and a half of what it is. Sheets of MNIST's validation images are
read with it. The table is also written to benchmarks/results/thresholds.md. It takes an
hour on two cores.
"""

import contextlib
from collections.abc import Iterator
from unittest import mock

import numpy as np
import sheets
from runner import RESULTS

import input_data
import predict
from common import cli
from handwriting import find_digits, ink, mnist_image, reading

SEED = 777  # of the sheets; sheets.py has others
SHEETS = 2  # of each difficulty
FACTORS = (2 / 3, 3 / 2)
MODULES = (ink, find_digits)
GIVEN = "LUMA", "DETAIL_PERCENTILES"  # a standard, and two that must stay under 100
ALSO_IN = (*MODULES, mnist_image)  # a constant that is imported is set there, too

Number = int | float | tuple[float, ...]


def thresholds() -> Iterator[tuple[str, str, Number]]:
    """Yield file, name and value of each number at the top of the files."""
    for module in MODULES:
        for name, value in vars(module).items():
            numbers = value if isinstance(value, tuple) else (value,)
            is_number = all(isinstance(number, int | float) for number in numbers)
            is_own = module is ink or not hasattr(ink, name)
            if name.isupper() and is_number and is_own and name not in GIVEN:
                yield module.__name__.split(".")[1], name, value


def varied(value: Number, factor: float) -> Number:
    """Return a threshold times a factor; whole numbers stay whole, and change."""
    if isinstance(value, tuple):
        return tuple(varied(number, factor) for number in value)
    if isinstance(value, float):
        return value * factor
    other = round(value * factor)
    return other if other != value else value + (1 if factor > 1 else -1)


@contextlib.contextmanager
def changed(name: str, value: Number, number: Number) -> Iterator[None]:
    """Set a threshold of this value to another number, wherever it is imported."""
    with contextlib.ExitStack() as stack:
        for module in ALSO_IN:
            if getattr(module, name, None) == value:
                stack.enter_context(mock.patch.object(module, name, number))
        yield


def digits_right(network: predict.Classifier, made: list[sheets.Sheet]) -> int:
    """Return how many digits are read right; none on a sheet that cannot be read."""
    right = 0
    for one in made:
        try:
            right += sheets.found_and_right(one, reading.read(one.image, network))[1]
        except Exception as error:  # some values make no sense
            cli.warn(cli.reason(error))
    return right


def main() -> None:
    """Read the sheets with each threshold varied; print the table and write it."""
    network, data_dir = sheets.network_and_data_dir(__doc__)
    _, mnist = input_data.load("mnist", data_dir, validation_size=5000)
    chosen = mnist.validation
    digits, labels = chosen.images.reshape(-1, 28, 28), chosen.labels
    made = []
    for kind, level in enumerate(sheets.LEVELS.values()):
        for number in range(SHEETS):
            rng = np.random.default_rng([SEED, kind, number])
            made.append(sheets.sheet(rng, digits, labels, level))
    total = sum(len(one.centres) for one in made)
    lines = [
        f"Of {total} digits {digits_right(network, made)} are read right.",
        "",
        "| threshold | value | right at 2/3 | right at 3/2 |",
        "|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for file, name, value in thresholds():
        rights = []
        for factor in FACTORS:
            with changed(name, value, varied(value, factor)):
                rights.append(digits_right(network, made))
        lines.append(f"| {file}: {name} | {value} | {rights[0]} | {rights[1]} |")
        print(lines[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "thresholds.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
