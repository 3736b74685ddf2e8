"""The networks, each a registered `keras.Model` whose weights exist as soon as it does."""

from ssagan_tf.networks.compact_encoder import CompactImageEncoder
from ssagan_tf.networks.discriminator import Discriminator
from ssagan_tf.networks.generator import Generator
from ssagan_tf.networks.image_encoder import ImageEncoder
from ssagan_tf.networks.text_encoder import SentenceEncoder, TextEncoder

__all__ = ["CompactImageEncoder", "Discriminator", "Generator", "ImageEncoder", "SentenceEncoder", "TextEncoder"]
