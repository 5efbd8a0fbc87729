"""Random distortions of training images, as graph functions."""

from collections.abc import Mapping

from common.session import tf


def random_affine(
    images: tf.Tensor, limits: Mapping[str, float], strength: tf.Tensor, key: tf.Tensor
) -> tf.Tensor:
    """Rotate, scale, shear and shift each image by its own random amounts.

    Args:
        images: float32 tensor of shape [batch_size, size, size, 1].
        limits: `rotation` in radians, `scaling` as a share of the size, `shear` in
            pixels along a row per row, `shift` in pixels; each amount is uniform
            between plus and minus its limit.
        strength: float32 scalar that multiplies the limits.
        key: int64 tensor of shape [2].

    Returns:
        Float32 tensor of the same shape: bilinear interpolation, zeros from outside.
        P. Simard, D. Steinkraus, J. Platt, "Best Practices for Convolutional Neural
        Networks Applied to Visual Document Analysis", 2003, shows what this gains.
    """
    names = ("rotation", "scaling", "scaling", "shear", "shift", "shift")
    most = strength * tf.constant([limits[name] for name in names])
    amounts = tf.random.stateless_uniform([tf.shape(images)[0], 6], key, -most, most)
    angle, log_x, log_y, shear, shift_x, shift_y = tf.unstack(amounts, axis=1)
    cos, sin = tf.cos(angle), tf.sin(angle)
    scale_x, scale_y = 1 + log_x, 1 + log_y
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
