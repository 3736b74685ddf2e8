"""SSAGAN: generator, discriminator and text encoder in one Keras model, with the published training step."""

from __future__ import annotations

import dataclasses
import os
import typing

import keras
import tensorflow as tf

from ssagan_tf import losses
from ssagan_tf.config import TEXT_TRAININGS, Config, ModelConfig
from ssagan_tf.core.arguments import check_weights
from ssagan_tf.errors import UserError
from ssagan_tf.networks import (
    Discriminator,
    Generator,
    SentenceEncoder,
    image_encoder_of,
    text_encoder_of,
)
from ssagan_tf.networks.primitives import at_least_float32, register
from ssagan_tf.step import random, replicas
from ssagan_tf.step.ablation import Ablation
from ssagan_tf.step.augmentation import Augmentation
from ssagan_tf.step.batches import BatchForm
from ssagan_tf.step.finite import guarded
from ssagan_tf.step.loss_scale import LossScale
from ssagan_tf.step.model import BatchModel
from ssagan_tf.step.optimizers import chosen_optimizers
from ssagan_tf.text.captions import lengths_of
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.text_to_image import TextToImage, check_layers
from ssagan_tf.weights import model_folder, tensor_files

DAMSM_WEIGHTS = {"frozen": 0.05, "damsm": 0.1, "end_to_end": 0.1}
LOSSES = ("discriminator_loss", "gradient_penalty", "generator_loss", "damsm_fake", "damsm_real")
_AUGMENT_STREAMS = ("real", "generated", "penalty", "generator")  # where a step augments what D sees, each anew
_PARTS = ("generator", "discriminator", "text_encoder", "image_encoder", "augmentation")
_OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer", "encoder_optimizer")
_OPTIONS = (
    "text_training",
    "damsm_weight",
    "published",
    "fused",
    "gradient_checkpointing",
    "max_words",
    "seed",
)


@register
class SSAGAN(BatchModel, TextToImage):
    """Text to image with semantic-spatial aware GAN (Liao et al., CVPR 2022).

    Saved with `save_to_preset`, a folder, and read with `from_preset`; or as one `.keras` file with `save`.

    Args:
        generator: makes pictures.
        discriminator: judges them; the same image size and sentence size as the generator's. None: for sampling only.
        text_encoder: reads captions; a `TextEncoder`, a `HubEncoder` or another `SentenceEncoder`.
        image_encoder: its partner in the DAMSM loss; without one there is no DAMSM term.
        vocabulary: needed wherever captions are text.
        text_training: how the text encoder learns. "frozen": it does not (published baseline). "damsm": by DAMSM on
            real pictures only (published joint training; needs `image_encoder`). "end_to_end": by the generator's loss
            too, through the scales and shifts. Default: "damsm" if there is an image encoder, else "frozen".
        damsm_weight: of DAMSM on generated pictures in the generator's loss; default as published: 0.05 with a frozen
            text encoder, 0.1 otherwise.
        published: with the published quirk of joint training: the text encoder's dropout is on and the image encoder's
            batch norms use and move batch statistics, for real and generated pictures alike. Off: inference mode.
        fused: hinge loss and gradient penalty in one update of the discriminator, which passes the real pictures
            through once; faster, and another training than the published one with its two updates.
        gradient_checkpointing: the features of the generator's blocks are computed again for the gradient instead of
            kept while the discriminator learns: less memory, some more time, the same training.
        max_words: width of a caption when sampling.
        augmentation: varies what the discriminator sees; None: it sees pictures as they are, as published.
        ablation: what is left out or weighted otherwise for an experiment; None: nothing.
        seed: of the noise drawn in training, and of those variations.

    Raises:
        UserError: parts that do not fit together.
    """

    presets: typing.ClassVar = model_folder.PRESETS
    settings = Config()  # those that the model was read with
    terms = ""  # of the data that it was trained on, if its folder says any

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator | None,
        text_encoder: SentenceEncoder,
        image_encoder: keras.Model | None = None,
        vocabulary: Vocabulary | None = None,
        text_training: str | None = None,
        damsm_weight: float | None = None,
        published: bool = False,
        fused: bool = False,
        gradient_checkpointing: bool = False,
        augmentation: Augmentation | None = None,
        ablation: Ablation | None = None,
        max_words: int = 18,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(generator, text_encoder, vocabulary, max_words, **kwargs)
        given = {"discriminator": discriminator, "image_encoder": image_encoder}
        check_layers(**{name: part for name, part in given.items() if part is not None})
        if text_training is None:
            text_training = "frozen" if image_encoder is None else "damsm"
        self.discriminator = discriminator
        self.image_encoder = image_encoder
        self.text_training = text_training
        usual = DAMSM_WEIGHTS.get(text_training) if isinstance(text_training, str) else None
        self.damsm_weight = usual if damsm_weight is None else damsm_weight
        self.published = published
        self.ablation = ablation or Ablation()
        self.fused = fused
        self.gradient_checkpointing = gradient_checkpointing
        self.augmentation = augmentation
        self.seed = seed
        self.loss_scale: LossScale | None = None
        self._check_parts()
        self.built = True

    def _check_parts(self):
        if not isinstance(self.text_training, str) or self.text_training not in TEXT_TRAININGS:
            raise UserError(f"No such text training. Received: {self.text_training!r}. Use one of {TEXT_TRAININGS}.")
        if self.text_training == "damsm" and self.image_encoder is None:
            raise UserError(
                "Text training 'damsm' learns from an image encoder. Received: image_encoder=None. "
                "Give one, or use text_training='frozen' or 'end_to_end'."
            )
        check_weights(damsm_weight=self.damsm_weight)
        if not isinstance(self.ablation, Ablation):
            raise UserError(f"No such ablation. Received: {self.ablation!r:.80}. Give an Ablation.")
        if self.augmentation is not None and not isinstance(self.augmentation, Augmentation):
            raise UserError(
                f"No such augmentation. Received: {self.augmentation!r}. Give an Augmentation of ssagan_tf.step."
            )
        for name in ("image_size", "sentence_dim"):
            parts = [part for part in (self.generator, self.discriminator, self.text_encoder) if part is not None]
            sizes = {part.name: getattr(part, name) for part in parts if hasattr(part, name)}
            if len(set(sizes.values())) > 1:
                raise UserError(f"The networks' {name} differ. Received: {sizes}. Build them with the same one.")
        if self.vocabulary is not None and len(self.vocabulary) != self.text_encoder.vocabulary_size:
            raise UserError(
                "Vocabulary and text encoder do not fit. "
                f"Received: {len(self.vocabulary)} words and an encoder for {self.text_encoder.vocabulary_size}. "
                "Use the vocabulary that the encoder was trained with."
            )

    @classmethod
    def from_model_config(
        cls,
        config: ModelConfig,
        vocabulary: Vocabulary,
        sampling_only: bool = False,
        precision: str = "float32",
        **kwargs,
    ) -> SSAGAN:
        """A new, untrained model.

        Args:
            config: of the networks.
            vocabulary: of the captions.
            sampling_only: without what only training needs.
            precision: dtype policy of generator and discriminator, the bulk of the work; weights, masks, losses and
                the encoders stay in float32.
            kwargs: go to the constructor.
        """
        sizes = {"image_size": config.image_size, "sentence_dim": config.sentence_dim}
        nets: dict = {"base_filters": config.base_filters, "grown_from": config.grown_from, "dtype": precision, **sizes}
        generator = Generator(
            **nets,
            noise_dim=config.noise_dim,
            mask_filters=config.mask_filters,
            mask_blocks=config.mask_blocks,
            name="generator",
        )
        text_encoder = text_encoder_of(config, len(vocabulary))
        common = {"vocabulary": vocabulary, "max_words": config.max_words, **kwargs}
        common.setdefault("ablation", Ablation.from_model_config(config))
        if sampling_only:
            return cls(generator, None, text_encoder, text_training="frozen", **common)
        discriminator = Discriminator(**nets, name="discriminator")
        blocks: list = [*generator.blocks, *discriminator.blocks]
        for block in blocks:
            block.gate.assign(config.initial_gate)
        return cls(
            generator,
            discriminator,
            text_encoder,
            image_encoder_of(config),
            text_training=config.text_training,
            damsm_weight=config.damsm_weight,
            published=config.published,
            **common,
        )

    @classmethod
    def from_settings(cls, config: Config, vocabulary: Vocabulary, sampling_only: bool = False, **options) -> SSAGAN:
        """As `from_model_config`, with those options of a model that are settings of its training."""
        train = config.train
        augment = "none" if sampling_only else train.augment
        return cls.from_model_config(
            config.model,
            vocabulary,
            sampling_only,
            fused=train.fused,
            gradient_checkpointing=train.gradient_checkpointing,
            augmentation=Augmentation.from_settings(augment, train.augment_pictures),
            seed=train.seed,
            **options,
        )

    # === Saving ===

    @classmethod
    def from_preset(cls, folder: str | os.PathLike, trust: bool = False) -> typing.Self:
        """Reads a trained model. Nothing in the folder is run, and nothing outside of it is read.

        Args:
            folder: a name in `presets`, a model folder, or a handle, see `weights.model_folder.folder_of`.
            trust: whether the configuration may name a SavedModel as text encoder: a program, outside of the folder.

        Raises:
            UserError: something is missing, damaged or does not fit, or a SavedModel is not trusted.
        """
        return model_folder.read(cls, folder, trust)

    def save_to_preset(self, folder: str | os.PathLike, config: Config | None = None, card: str | None = None) -> None:
        """Writes a model folder, all that sampling needs: weights, vocabulary, configuration and a card.

        Args:
            folder: must not exist yet.
            config: the run's, for whoever goes on from here; default: the networks' sizes, and the settings that the
                model was read with, if it was.
            card: Markdown: what the model is and where it comes from; default: its sizes alone.

        Raises:
            UserError: the folder exists, the disk is full or read-only, or the model has no vocabulary.
        """
        model_folder.write(self, folder, config, card)

    def sampling_variables(self) -> dict[str, keras.Variable]:
        """Everything that sampling needs, by name."""
        return self._named("generator", "text_encoder")

    def training_variables(self) -> dict[str, keras.Variable]:
        """The networks that only training needs, by name."""
        return self._named("discriminator", "image_encoder")

    def all_variables(self) -> dict[str, keras.Variable]:
        """The networks' weights, by name."""
        return self.sampling_variables() | self.training_variables()

    def _named(self, *parts: str) -> dict[str, keras.Variable]:
        named: dict[str, keras.Variable] = {}
        for name in parts:
            if getattr(self, name) is not None:
                named |= tensor_files.named_variables(name, getattr(self, name).variables)
        return named

    def get_options(self) -> dict[str, typing.Any]:
        """The constructor's arguments that are numbers or words."""
        return {name: getattr(self, name) for name in _OPTIONS}

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS}
        words = None if self.vocabulary is None else list(self.vocabulary.words)
        ablation = dataclasses.asdict(self.ablation)
        return {"name": self.name, **parts, "vocabulary": words, "ablation": ablation, **self.get_options()}

    @classmethod
    def from_config(cls, config):
        arguments = {
            name: keras.saving.deserialize_keras_object(value) if name in _PARTS and value is not None else value
            for name, value in config.items()
        }
        words = arguments.pop("vocabulary")
        vocabulary = None if words is None else Vocabulary(words)
        return cls(ablation=Ablation.popped(arguments), vocabulary=vocabulary, **arguments)

    def get_compile_config(self):
        return {name: getattr(self, name) for name in _OPTIMIZERS} if self.compiled else None

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    # === Training ===

    @property
    def batch_form(self) -> BatchForm:
        return BatchForm(
            self.generator.image_size,
            self.text_encoder.vocabulary_size,
            self.generator.noise_dim,
            self.reads_text,
            self.to_ids,
        )

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, encoder_optimizer=None, **kwargs) -> None:
        """Sets an optimizer for each part.

        Args:
            generator_optimizer: an optimizer, its name or its configuration; default: the published Adam.
            discriminator_optimizer: likewise.
            encoder_optimizer: likewise.
            kwargs: Keras's `run_eagerly`, `jit_compile`, `steps_per_execution`.

        Raises:
            UserError: no such optimizer, one for several parts, or a loss.
        """
        discriminator = self.require_discriminator()
        if kwargs.get("optimizer") is not None:
            raise UserError(
                f"Each part has an optimizer of its own. Received: optimizer={kwargs['optimizer']!r}. "
                "Give generator_optimizer, discriminator_optimizer and encoder_optimizer."
            )
        generator_optimizer, self.discriminator_optimizer, self.encoder_optimizer = chosen_optimizers(
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
            encoder_optimizer=encoder_optimizer,
        )
        # The generator's is the model's `optimizer`, which Keras's own callbacks look at.
        super().compile(**{**kwargs, "optimizer": generator_optimizer})
        # An optimizer knows only the variables that it was built for, and restores only if it was built.
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(discriminator.trainable_variables)
        self.encoder_optimizer.build(self._encoder_variables())
        self.loss_scale = LossScale() if self.generator.compute_dtype == "float16" else None
        self._average_losses(LOSSES, self.generator.variable_dtype)

    def require_discriminator(self) -> Discriminator:
        """The discriminator. Raises UserError if there is none."""
        if self.discriminator is None:
            raise UserError("The model is for sampling only. Received: discriminator=None. Give one to train it.")
        return self.discriminator

    @property
    def generator_optimizer(self) -> keras.optimizers.Optimizer:
        return self.optimizer

    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [self.generator_optimizer, self.discriminator_optimizer, self.encoder_optimizer]

    def _encoder_variables(self) -> list[keras.Variable]:
        if self.text_training == "frozen":
            return []
        encoders = [self.text_encoder] + ([self.image_encoder] if self.image_encoder is not None else [])
        return [variable for encoder in encoders for variable in encoder.trainable_variables]

    @guarded
    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One published iteration: hinge step of D, penalty step of D, step of G, in this order.

        Under a `tf.distribute` strategy it is the same iteration on the global batch. As published, the text encoder
        learns from DAMSM right after the fake pictures are made, and all else uses the embeddings from before.

        Args:
            batch: "image" (B, S, S, 3) in [-1, 1]; "caption" (B, T) ids, or (B,) text; optionally "class_id" (B,), of
                pictures that are no negatives of each other in DAMSM; optionally "noise" (B, noise_dim), drawn
                otherwise. Published batches are sorted by falling caption length.

        Returns:
            "discriminator_loss", "gradient_penalty", "generator_loss" (without DAMSM), "damsm_fake" and "damsm_real"
            (each with its weight): scalars of this iteration, of the global batch. Where anything is not finite nothing
            is changed, and the losses tell (`guard.was_skipped`). With an augmentation also its "augment_chance" and
            "real_signs" after this iteration; in float16 "loss_scale", of the next iteration.

        Raises:
            UserError: a batch of another form.
        """
        batch = self.batch_form.completed(batch)
        image = tf.cast(batch["image"], self.generator.compute_dtype)
        noise_batch = self._noise(batch, self._seed_of_step())
        with tf.GradientTape() as text_tape:
            encoded = self.text_encoder(batch["caption"], training=self._quirky_encoders)
        # Words and sentence; of an encoder without word features the sentence alone.
        embeddings = [part for part in encoded if part is not None]
        fixed = [tf.stop_gradient(part) for part in embeddings]
        fixed_sentence = fixed[-1]

        # One generated batch serves all. Its tape is asked once, when D has been updated twice.
        with tf.GradientTape() as generator_tape:
            generator_tape.watch(fixed_sentence)
            fake, _ = self.generator(
                noise_batch, fixed_sentence, training=True, checkpointing=self.gradient_checkpointing
            )

        damsm_real, by_embeddings, by_heads = self._damsm_on_real(batch, image, fixed)
        if self.text_training == "damsm":
            self._text_encoder_step(text_tape, embeddings, by_embeddings, by_heads)
        discriminator_loss, gradient_penalty = self._discriminator_steps(image, fake, fixed_sentence)

        # The gradient goes by way of the pictures, so that none by D's weights is built.
        with tf.GradientTape(watch_accessed_variables=False) as fake_tape:
            fake_tape.watch(fake)
            logits = self.require_discriminator()(self._augment(fake, "generator"), fixed_sentence)
            generator_loss = losses.hinge_generator_loss(logits, self._global_batch(image))
            damsm_fake = self._damsm(batch, fake, fixed, self.damsm_weight, self._quirky_encoders)
            loss = self._scaled(generator_loss + damsm_fake)
        by_fake = fake_tape.gradient(loss, fake)
        variables = self.generator.trainable_variables
        *by_variables, by_sentence = generator_tape.gradient(fake, [*variables, fixed_sentence], by_fake)
        self.generator_optimizer.apply(self._unscaled(by_variables), variables)
        if self.text_training == "end_to_end":
            by_embeddings[-1] += self.ablation.end_to_end_weight * by_sentence
            self._text_encoder_step(text_tape, embeddings, by_embeddings, by_heads)
        logs = _told(discriminator_loss, gradient_penalty, generator_loss, damsm_fake, damsm_real)
        return logs if self.augmentation is None else logs | self.augmentation.logs()

    def test_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The losses of `train_step` with all networks in inference mode and no augmentation; nothing changes.

        Args:
            batch: as `train_step` has it; noise is drawn by the model's seed and the number of the batch.

        Returns:
            As `train_step`, the means of the evaluation so far. Raises as it.
        """
        batch = self.batch_form.completed(batch)
        image = tf.cast(batch["image"], self.generator.compute_dtype)
        embeddings = [part for part in self.text_encoder(batch["caption"], training=False) if part is not None]
        sentence, count = embeddings[-1], self._global_batch(image)
        done = 0 if self._evaluated is None else self._evaluated.of[LOSSES[0]].count
        seed = random.fold_in(tf.stack([tf.cast(self.seed, tf.int64), 0]), tf.cast(done, tf.int64))
        fake = tf.cast(self.generator(self._noise(batch, seed), sentence, training=False)[0], image.dtype)
        real, mismatched, drawn = self._hinge_logits(image, fake, sentence)
        penalty = _zero(image)
        if self.ablation.gradient_penalty:
            discriminator = self.require_discriminator()
            penalty = losses.matching_aware_gradient_penalty(discriminator, image, sentence, count)
        damsm_real = _zero(image)
        if self.text_training != "frozen":
            damsm_real = self._damsm(batch, image, embeddings, 1.0, False)
        logs = _told(
            losses.hinge_discriminator_loss(real, mismatched[0] if mismatched else None, drawn, count),
            penalty,
            losses.hinge_generator_loss(drawn, count),
            self._damsm(batch, fake, embeddings, self.damsm_weight, False),
            damsm_real,
        )
        return self._mean_so_far(logs, count)

    def _discriminator_steps(self, image, fake, sentence):
        """D's updates -> hinge loss, gradient penalty. Two as published, the penalty that of the D that the hinge loss
        has updated; one for both if `fused`."""
        discriminator, fused = self.require_discriminator(), self.fused and self.ablation.gradient_penalty
        penalty, count = _zero(image), self._global_batch(image)
        fake = tf.stop_gradient(tf.cast(fake, image.dtype))
        with tf.GradientTape() as tape:
            if fused:
                with tf.GradientTape(watch_accessed_variables=False) as given_tape:
                    given_tape.watch([image, sentence])
                    features = discriminator.features(self._augment(image, "real"))
                    real = discriminator.logits(features, sentence)
                    total = tf.reduce_sum(real)
                penalty = losses.penalty_of_gradients(given_tape.gradient(total, [image, sentence]), count)
                drawn = discriminator.features(self._augment(fake, "generated"))
                *mismatched, drawn = self._logits([*self._mismatched(features, sentence), (drawn, sentence)])
            else:
                real, mismatched, drawn = self._hinge_logits(
                    self._augment(image, "real"), self._augment(fake, "generated"), sentence
                )
            hinge = losses.hinge_discriminator_loss(real, mismatched[0] if mismatched else None, drawn, count)
            loss = self._scaled(hinge + penalty)
        if self.augmentation is not None:
            self.augmentation.learn(real)
        self._update_discriminator(tape, loss)
        if self.ablation.gradient_penalty and not fused:
            with tf.GradientTape() as tape:
                penalty = losses.matching_aware_gradient_penalty(
                    lambda image, sentence: discriminator(self._augment(image, "penalty"), sentence),
                    image,
                    sentence,
                    count,
                )
                loss = self._scaled(penalty)
            self._update_discriminator(tape, loss)
        return hinge, penalty

    def _hinge_logits(self, image, fake, sentence):
        """D's logits of real, mismatched (a list of one or none) and generated pairs."""
        # Twice as many pictures in one pass: convolutions of small features are the faster for it.
        features, drawn = tf.split(self.require_discriminator().features(tf.concat([image, fake], 0)), 2)
        pairs = [(features, sentence), *self._mismatched(features, sentence), (drawn, sentence)]
        real, *mismatched, drawn = self._logits(pairs)
        return real, mismatched, drawn

    def _mismatched(self, features, sentence):
        """Features of real pictures with the sentences of the next ones: a list of one such pair, or of none."""
        if not self.ablation.mismatched_pairs:
            return []
        others = replicas.next_samples(sentence)
        return [(features[: tf.shape(others)[0]], others)]

    def _logits(self, pairs):
        """D's logits of each of several (features, sentence), in one pass: some may have no rows, of which oneDNN's
        convolution makes nothing of the right shape."""
        features, sentences = zip(*pairs, strict=True)
        logits = self.require_discriminator().logits(tf.concat(features, 0), tf.concat(sentences, 0))
        return tf.split(logits, [tf.shape(part)[0] for part in features])

    def _update_discriminator(self, tape, loss):
        # Weights that a loss does not depend on (the first biases, in the penalty) have a gradient of zero, and Adam's
        # moments move for them as they do in the published code. TensorFlow makes zeros only for variables of its own.
        variables = self.require_discriminator().trainable_variables
        sources = [variable.value for variable in variables]
        gradients = tape.gradient(loss, sources, unconnected_gradients="zero")
        self.discriminator_optimizer.apply(self._unscaled(gradients), variables)

    def _scaled(self, loss):
        return loss if self.loss_scale is None else self.loss_scale.scaled(loss)

    def _unscaled(self, gradients):
        return gradients if self.loss_scale is None else self.loss_scale.unscaled(gradients)

    def _damsm(self, batch, image, embeddings, weight, training):
        """This replica's share of the weighted DAMSM loss; 0 without an image encoder."""
        if self.image_encoder is None:
            return _zero(image)
        regions, code = self.image_encoder(image, training=training)
        lengths = lengths_of(batch["caption"])
        parts = [regions, code, *embeddings, lengths, tf.convert_to_tensor(batch["class_id"])]
        # Of the global batch each replica computes the loss of all, so each gives its share of it.
        if self.ablation.global_negatives:
            parts = [replicas.gather(part) for part in parts]
        regions, code, *words, sentence, lengths, class_ids = parts
        loss = losses.damsm_loss(regions, code, words[0] if words else None, sentence, lengths, class_ids)
        return loss * (weight / replicas.replicas())

    def _damsm_on_real(self, batch, image, embeddings):
        """DAMSM on real pictures (weight 1) -> loss, its gradients by the embeddings and by the image encoder."""
        if self.text_training == "frozen" or self.image_encoder is None:
            return _zero(image), [tf.zeros_like(part) for part in embeddings], []
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            loss = self._damsm(batch, image, embeddings, 1.0, self._quirky_encoders)
            scaled = self._scaled(loss)
        return loss, *tape.gradient(scaled, (embeddings, self.image_encoder.trainable_variables))

    def _text_encoder_step(self, text_tape, embeddings, by_embeddings, by_heads):
        """Carries gradients by words and sentence back to the text encoder; one Adam step of both encoders."""
        variables = self.text_encoder.trainable_variables
        by_text = text_tape.gradient(embeddings, variables, output_gradients=by_embeddings)
        self.encoder_optimizer.apply(self._unscaled([*by_text, *by_heads]), self._encoder_variables())

    @property
    def _quirky_encoders(self) -> bool:
        return self.published and self.text_training != "frozen"

    def _noise(self, batch, seed: tf.Tensor) -> tf.Tensor:
        """(B, noise_dim) of this replica: the batch's, or by the seed alone: nothing to save, the same on any number of
        replicas."""
        if "noise" in batch:
            return tf.cast(batch["noise"], self.generator.compute_dtype)
        shape = [self._global_batch(batch["image"]), self.generator.noise_dim]
        drawn = replicas.own_part(random.normal(shape, seed))
        return tf.cast(drawn, self.generator.compute_dtype)

    def _seed_of_step(self) -> tf.Tensor:
        return tf.stack([tf.cast(self.seed, tf.int64), tf.cast(self.generator_optimizer.iterations, tf.int64)])

    def _augment(self, pictures: tf.Tensor, stream: str) -> tf.Tensor:
        """What D sees of pictures in one of `_AUGMENT_STREAMS`; by seed and step alone, as the noise."""
        if self.augmentation is None:
            return pictures
        return self.augmentation(pictures, random.fold_in(self._seed_of_step(), _AUGMENT_STREAMS.index(stream)))

    @staticmethod
    def _global_batch(image: tf.Tensor) -> tf.Tensor:
        return tf.shape(image)[0] * replicas.replicas()


def _told(*values: tf.Tensor) -> dict[str, tf.Tensor]:
    """This replica's shares of the losses -> those of the global batch, by name."""
    return {name: replicas.sum_over_replicas(value) for name, value in zip(LOSSES, values, strict=True)}


def _zero(like):
    return at_least_float32(tf.zeros([], like.dtype))
