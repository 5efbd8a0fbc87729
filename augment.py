"""Random distortions of training images, as graph functions."""

from collections.abc import Mapping

from common.session import tf
from model import RandomKey, uniform

# ---------------------------------------------------------------------- constants
# Limits at strength 1: each amount is uniform between minus and plus its limit.
AFFINE = {
    "rotation": 0.12,  # radians
    "scaling": 0.07,  # share of the size, each axis on its own
    "shear": 0.1,  # pixels along a row per row
    "shift": 1.4,  # pixels, each axis on its own
}
# --------------------------------------------------------------------------------


def augment(
    images: tf.Tensor, limits: Mapping[str, float], strength: tf.Tensor, key: RandomKey
) -> tf.Tensor:
    """Distort images where `strength` is above 0; return them unchanged otherwise.

    The arguments and the shape are those of `random_affine`.
    """
    distorted = tf.cond(
        strength > 0,
        lambda: random_affine(images, limits, strength, key),
        lambda: images,
    )
    return tf.ensure_shape(distorted, images.shape)


def random_affine(
    images: tf.Tensor, limits: Mapping[str, float], strength: tf.Tensor, key: RandomKey
) -> tf.Tensor:
    """Rotate, scale, shear and shift each image by its own random amounts.

    P. Simard, D. Steinkraus, J. Platt, "Best Practices for Convolutional Neural
    Networks Applied to Visual Document Analysis", 2003, shows what this gains.

    Args:
        images: float32 tensor of shape [batch_size, size, size, 1].
        limits: of each amount, as in AFFINE.
        strength: float32 scalar that multiplies the limits.
        key: of `model.random_key`, decides the amounts.

    Returns:
        Float32 tensor of the same shape: bilinear interpolation, zeros from outside.
    """
    names = ("rotation", "scaling", "scaling", "shear", "shift", "shift")
    most = strength * tf.constant([limits[name] for name in names])
    amounts = uniform(tf.stack([tf.shape(images)[0], len(names)]), key, -most, most)
    angle, growth_x, growth_y, shear, shift_x, shift_y = tf.unstack(amounts, axis=1)
    cos, sin = tf.cos(angle), tf.sin(angle)
    scale_x, scale_y = 1 + growth_x, 1 + growth_y
    # Where an output pixel (x, y) comes from: (a x + b y + c, d x + e y + f).
    a, b = scale_x * cos, scale_y * (shear * cos - sin)
    d, e = scale_x * sin, scale_y * (shear * sin + cos)
    size = images.shape[1]
    centre = (size - 1) / 2
    c = centre - centre * (a + b) + shift_x
    f = centre - centre * (d + e) + shift_y
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, c, d, e, f, zero, zero], axis=1),
        output_shape=[size, size],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
