"""The networks, each a registered `keras.Model` whose weights exist as soon as it does."""

import keras

from ssagan_tf.config import ModelConfig
from ssagan_tf.networks.compact_encoder import CompactImageEncoder
from ssagan_tf.networks.discriminator import Discriminator
from ssagan_tf.networks.generator import Generator
from ssagan_tf.networks.hub_encoder import HubEncoder
from ssagan_tf.networks.image_encoder import ImageEncoder
from ssagan_tf.networks.text_encoder import SentenceEncoder, TextEncoder

__all__ = [
    "CompactImageEncoder",
    "Discriminator",
    "Generator",
    "HubEncoder",
    "ImageEncoder",
    "SentenceEncoder",
    "TextEncoder",
    "image_encoder_of",
    "text_encoder_of",
]


def text_encoder_of(config: ModelConfig, vocabulary_size: int) -> SentenceEncoder:
    """The text encoder that a configuration names, untrained."""
    if config.text_encoder == "lstm":
        sizes = config.sentence_dim, config.dropout, config.embedding_dim
        return TextEncoder(vocabulary_size, *sizes, name="text_encoder")
    trained = config.train_text_source
    return HubEncoder(config.text_encoder, vocabulary_size, config.sentence_dim, trained, name="text_encoder")


def image_encoder_of(config: ModelConfig) -> keras.Model | None:
    """The image encoder that a configuration names, untrained."""
    if config.image_encoder == "compact":
        return CompactImageEncoder(config.sentence_dim, config.image_size, name="image_encoder")
    if config.image_encoder == "inception":
        return ImageEncoder(config.sentence_dim, name="image_encoder")
    return None
