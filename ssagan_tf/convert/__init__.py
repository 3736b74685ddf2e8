"""Converts published weights to this package's networks and back."""

from ssagan_tf.convert.networks import (
    load_discriminator,
    load_generator,
    load_image_encoder,
    load_text_encoder,
    to_published_state,
)

__all__ = ["load_discriminator", "load_generator", "load_image_encoder", "load_text_encoder", "to_published_state"]
