"""From a picture to the digits written in it."""
