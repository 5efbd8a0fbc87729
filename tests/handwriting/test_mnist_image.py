"""A digit that was found looks like an image of MNIST."""

import numpy as np
import pytest
from drawing import STROKES, draw
from PIL import Image

from handwriting import find_digits


@pytest.mark.parametrize("pen", [2, 5, 9, 15])
def test_strokes_come_out_as_thick_as_those_of_mnist(pen: int) -> None:
    ((_, image),) = find_digits.find_digits(draw([[0]], pen=pen))
    # Along a row through the middle there are two strokes.
    assert 1.2 < image[14].sum() / 2 < 4.5


def test_a_digit_is_20_pixels_long_and_its_mass_in_the_middle() -> None:
    for digit in STROKES:
        ((_, image),) = find_digits.find_digits(draw([[digit]]))
        assert image.shape == (28, 28)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
        rows, columns = np.nonzero(image > 0.5)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
        y, x = np.indices(image.shape)
        mass = np.array([(image * y).sum(), (image * x).sum()]) / image.sum()
        np.testing.assert_allclose(mass, 14, atol=0.6)


def test_a_28x28_image_comes_out_nearly_as_it_went_in() -> None:
    image = np.zeros((28, 28), np.float32)
    image[4:24, 12:15] = 1
    image[4:7, 8:15] = 1
    grey = (image * 255).astype(np.uint8)
    for picture in (grey, 255 - grey):
        ((box, digit),) = find_digits.find_digits(Image.fromarray(picture))
        assert np.abs(np.array(box) - (8, 4, 15, 24)).max() <= 1
        shifted = [
            np.abs(np.roll(image, (y, x), (0, 1)) - digit).mean()
            for y in range(-3, 4)
            for x in range(-3, 4)
        ]
        assert min(shifted) < 0.3 * image.mean()


def test_a_picture_in_the_form_of_mnist_is_left_as_it_is() -> None:
    image = np.zeros((28, 28), np.float32)
    image[7:26, 15:17] = 1
    image[7:9, 9:17] = 1
    image[8, 9] = 0.5
    for picture in (image, 1 - image):
        levels = (picture * 255).round().astype(np.uint8)
        ((box, digit),) = find_digits.find_digits(Image.fromarray(levels))
        assert box == (9, 7, 17, 26)
        np.testing.assert_allclose(digit, image, atol=1 / 128)


def test_a_blank_picture_of_the_size_of_mnist_has_no_digit() -> None:
    assert find_digits.find_digits(Image.new("L", (28, 28), 255)) == []
