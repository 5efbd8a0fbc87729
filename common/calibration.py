"""Calibration: how far probabilities are from the truth, and what brings them there.

C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks",
2017.
"""

import numpy as np

BINS = 15  # of the calibration error
TEMPERATURES = (0.05, 20.0)  # the lowest and the highest that is fitted


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature T of softmax(logits / T) that suits the labels best.

    It has the lowest cross-entropy. A share 1 / (n + 2) of each target is spread over
    the other classes, or a network without mistakes would be called infallible: how far
    from it n right answers are is Laplace's rule of succession, as in J. Platt,
    "Probabilistic Outputs for Support Vector Machines", 1999.

    Args:
        logits: float array of shape (n, classes).
        labels: int array of shape (n,), the truth; n is 1 or more.
    """
    # Only here: it takes a third of a second to import.
    from scipy import optimize, special

    logits = logits.astype(np.float64)
    n, classes = logits.shape
    wrong = 1 / (n + 2)
    targets = np.full((n, classes), wrong / (classes - 1))
    targets[np.arange(n), labels] = 1 - wrong

    def cross_entropy(log_temperature: float) -> float:
        log_odds = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return -np.mean(np.sum(targets * log_odds, axis=1))

    bounds = np.log(TEMPERATURES)
    found = optimize.minimize_scalar(cross_entropy, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def calibration_error(right: np.ndarray, confidence: np.ndarray) -> float:
    """Return the expected calibration error, 0 to 1.

    That is the difference between accuracy and mean confidence in each of BINS equal
    bins of confidence, weighted by the images in it.

    Args:
        right: bool array of shape (n,), whether an answer is right.
        confidence: float array of shape (n,), the probability of the answer.
    """
    # A bin's weight is the divisor of its two means, so that their sums are enough.
    excess, _ = np.histogram(confidence, BINS, (0, 1), weights=confidence - right)
    return float(np.abs(excess).sum() / len(right))
