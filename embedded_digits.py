"""The digits that come with scikit-learn, for machines without MNIST."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from mnist_files import IMAGE_SIZE

TEST_IMAGES = 300  # held out


def read_arrays() -> list[np.ndarray]:
    """Return scikit-learn's embedded digits in the form of MNIST's four arrays.

    1,797 real handwritten digits of 8x8 pixels (E. Alpaydin, C. Kaynak, "Optical
    Recognition of Handwritten Digits", UCI), scaled into the middle 20x20 of 28x28 as
    MNIST's digits are; 300 of them, drawn alike from all ten, are the test.
    """
    images, labels = load_digits(return_X_y=True)
    # Bilinear: each of 20 rows is a mix of the two nearest of 8.
    centres = (np.arange(IMAGE_SIZE) - 3.5) * 8 / 20 - 0.5
    tent = np.maximum(0, 1 - np.abs(centres[:, np.newaxis] - np.arange(8)))
    images = tent @ images.reshape(-1, 8, 8) @ tent.T * (255 / 16)
    images = np.rint(images).astype(np.uint8)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images,
        labels.astype(np.uint8),
        test_size=TEST_IMAGES,
        random_state=0,
        stratify=labels,
    )
    return [train_images, train_labels, test_images, test_labels]
