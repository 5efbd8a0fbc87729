"""calibration.py: the temperature, against a search by hand."""

import numpy as np
import pytest

from common.calibration import TEMPERATURES, fit_temperature


def drawn(true_temperature: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, and labels drawn from softmax(scores / true_temperature)."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 3, (count, 10)).astype(np.float32)
    odds = np.exp(scores / true_temperature)
    odds /= odds.sum(axis=1, keepdims=True)
    labels = [rng.choice(10, p=row) for row in odds]
    return scores, np.array(labels, np.uint8)


def loss(scores: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Return the cross-entropy, a share 1 / (n + 2) of the targets on the others."""
    n = len(labels)
    odds = np.exp(scores.astype(float) / temperature)
    logs = np.log(odds / odds.sum(axis=1, keepdims=True))
    own = logs[np.arange(n), labels]
    others = (logs.sum(axis=1) - own) / 9
    return -np.mean(own * (n + 1) / (n + 2) + others / (n + 2))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_with_is_found(
    temperature: float,
) -> None:
    scores, labels = drawn(temperature, 5003)
    found = fit_temperature(scores, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    grid = found * np.exp(np.linspace(-0.5, 0.5, 401))
    best = min(grid, key=lambda t: loss(scores, labels, t))
    assert found == pytest.approx(best, rel=3e-3)


def test_a_network_without_mistakes_is_not_called_infallible() -> None:
    """Of n right answers, Laplace expects the next to be right n + 1 times in n + 2."""
    scores = np.zeros((13, 10), np.float32)
    labels = np.arange(13, dtype=np.uint8) % 10
    scores[np.arange(13), labels] = 5
    temperature = fit_temperature(scores, labels)
    odds = np.exp(scores[0] / temperature)
    assert odds[0] / odds.sum() == pytest.approx(14 / 15, abs=1e-3)


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_give_a_temperature(count: int) -> None:
    scores, labels = drawn(1.0, count)
    assert TEMPERATURES[0] < fit_temperature(scores, labels) < TEMPERATURES[1]
