"""The model's step: what it changes and what it leaves, eagerly, in a graph, and in every way of training the text."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import SSAGAN, UserError, Vocabulary
from ssagan_tf.losses import damsm_loss, hinge_discriminator_loss, matching_aware_gradient_penalty
from ssagan_tf.networks import Discriminator, Generator, TextEncoder
from ssagan_tf.step.ablation import Ablation

NAMES = {"discriminator_loss", "gradient_penalty", "generator_loss", "damsm_fake", "damsm_real"}


class Colours(keras.Model):
    """An image encoder of two numbers: a linear map of each pixel, and of the mean pixel; with a frozen batch norm."""

    def __init__(self):
        super().__init__()
        self.norm = keras.layers.BatchNormalization(trainable=False)
        self.regions = keras.layers.Dense(6, use_bias=False)
        self.code = keras.layers.Dense(6, use_bias=False)
        self.saw_training = []
        self(np.zeros((1, 8, 8, 3), "float32"))

    def call(self, images, training=False):
        self.saw_training.append(training)
        images = self.norm(images, training=False)
        return self.regions(images), self.code(tf.reduce_mean(images, [1, 2]))


def batch(size: int = 8, count: int = 3, noise: bool = True) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(5)
    made = {
        "image": random.uniform(-1, 1, (count, size, size, 3)).astype("float32"),
        "caption": np.array([[1, 2, 3, 6], [4, 5, 0, 0], [6, 0, 0, 0]] * 2)[:count],
        "class_id": np.array([7, 9, 9] * 2)[:count],
        "noise": random.normal(size=(count, 5)).astype("float32"),
    }
    return {name: tf.constant(value) for name, value in made.items() if noise or name != "noise"}


def weights(part) -> list[np.ndarray]:
    return [variable.numpy() for variable in part.trainable_variables]


def changed(before: list[np.ndarray], part) -> bool:
    return any(not np.array_equal(one, other) for one, other in zip(before, weights(part), strict=True))


@pytest.fixture(scope="module")
def ready(tiny_model, randomize):
    """A compiled model none of whose gates is closed."""

    def make(**options):
        model = tiny_model(**options)
        for seed, part in enumerate((model.generator, model.discriminator, model.text_encoder)):
            randomize(part, seed)
        model.compile()
        return model

    return make


@pytest.fixture(scope="module")
def stepped(ready):
    """One step with a frozen text encoder: the model, its weights before, its losses, and what it should have made."""
    model, data = ready(), batch()
    parts = {part: getattr(model, part) for part in ("generator", "discriminator", "text_encoder")}
    before = {name: weights(part) for name, part in parts.items()}
    before["all of text"] = [variable.numpy() for variable in model.text_encoder.variables]
    sentence = model.text_encoder(data["caption"])[1]
    fake = model.generator(data["noise"], sentence, training=True)[0]
    real = model.discriminator(data["image"], sentence).numpy()
    wrong = model.discriminator(data["image"][:-1], sentence[1:]).numpy()
    drawn = model.discriminator(fake, sentence).numpy()
    hinge = np.maximum(1 - real, 0).mean()
    hinge += (np.maximum(1 + drawn, 0).mean() + np.maximum(1 + wrong, 0).mean()) / 2
    batches = model.generator.norm.batches.numpy()
    logs = model.train_step(data)
    judged = -model.discriminator(fake, sentence).numpy().mean()
    expected = {"discriminator_loss": hinge, "generator_loss": judged}
    return types.SimpleNamespace(model=model, before=before, logs=logs, expected=expected, batches=batches)


# === The step ===


def test_a_step_tells_its_losses_by_name_and_changes_both_networks(stepped):
    logs, model = stepped.logs, stepped.model
    assert set(logs) == NAMES
    assert all(value.shape == () and np.isfinite(value) for value in logs.values())
    assert logs["gradient_penalty"] > 0 and logs["damsm_fake"] == logs["damsm_real"] == 0
    assert changed(stepped.before["generator"], model.generator)
    assert changed(stepped.before["discriminator"], model.discriminator)


def test_a_frozen_text_encoder_stays_as_it_is(stepped):
    model = stepped.model
    assert model.text_training == "frozen"
    for one, variable in zip(stepped.before["all of text"], model.text_encoder.variables, strict=True):
        np.testing.assert_array_equal(one, variable.numpy())
    assert model.encoder_optimizer.iterations.numpy() == 0


def test_the_discriminator_steps_twice_and_the_generator_runs_once(stepped):
    assert stepped.model.discriminator_optimizer.iterations.numpy() == 2
    assert stepped.model.generator_optimizer.iterations.numpy() == 1
    assert stepped.model.generator.norm.batches.numpy() == stepped.batches + 1


def test_every_trained_weight_of_the_generator_moves(stepped):
    variables = stepped.model.generator.trainable_variables
    for one, variable in zip(stepped.before["generator"], variables, strict=True):
        # A bias right before a batch norm has no effect; its gradient is zero but for rounding.
        if not variable.path.endswith(("/hidden/bias", "/conv1/bias")):
            assert not np.array_equal(one, variable.numpy()), variable.path


def test_losses_are_those_of_d_before_the_step_and_of_g_by_d_after_its_two_steps(stepped):
    logs, expected = stepped.logs, stepped.expected
    np.testing.assert_allclose(logs["discriminator_loss"], expected["discriminator_loss"], rtol=1e-5)
    np.testing.assert_allclose(logs["generator_loss"], expected["generator_loss"], rtol=1e-4)


def test_noise_follows_from_seed_and_step(ready):
    losses = {}
    for name, seed in {"one": 1, "again": 1, "other": 2}.items():
        model = ready(seed=seed)
        losses[name] = [float(model.train_step(batch(noise=False))["generator_loss"]) for _ in range(2)]
    assert losses["one"] == losses["again"]
    assert losses["one"] != losses["other"]


def test_a_batch_of_one_is_trained_on(ready):
    logs = ready().train_step({name: value[:1] for name, value in batch().items()})
    assert all(np.isfinite(value) for value in logs.values())


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_other_dtypes_are_trained_in(ready, stepped, dtype):
    exact, logs = stepped.logs, ready(dtype=dtype).train_step(batch())
    tolerance = 1e-4 if dtype == "float64" else 0.05
    for name in NAMES - {"gradient_penalty"}:
        assert logs[name].dtype == ("float64" if dtype == "float64" else "float32")
        np.testing.assert_allclose(logs[name], exact[name], rtol=tolerance, atol=tolerance)


# === The text ===


def test_damsm_on_real_pictures_trains_both_encoders(ready):
    image_encoder, data = Colours(), batch()
    model = ready(image_encoder=image_encoder)
    assert model.text_training == "damsm" and model.damsm_weight == 0.1
    before = weights(model.text_encoder), weights(image_encoder)
    words, sentence = model.text_encoder(data["caption"])
    expected = damsm_loss(*image_encoder(data["image"]), words, sentence, [4, 2, 1], data["class_id"])
    image_encoder.saw_training.clear()
    logs = model.train_step(data)
    assert image_encoder.saw_training == [False, False]
    np.testing.assert_allclose(logs["damsm_real"], expected, rtol=1e-5)
    assert logs["damsm_fake"] > 0
    assert changed(before[0], model.text_encoder) and changed(before[1], image_encoder)
    assert model.encoder_optimizer.iterations.numpy() == 1


def test_damsm_with_a_frozen_text_encoder_teaches_the_generator_alone(ready):
    image_encoder, data = Colours(), batch()
    model = ready(image_encoder=image_encoder, text_training="frozen")
    assert model.damsm_weight == 0.05
    before = weights(model.text_encoder), weights(image_encoder)
    words, sentence = model.text_encoder(data["caption"])
    fake = model.generator(data["noise"], sentence, training=True)[0]
    expected = 0.05 * damsm_loss(*image_encoder(fake), words, sentence, [4, 2, 1], data["class_id"])
    logs = model.train_step(data)
    np.testing.assert_allclose(logs["damsm_fake"], expected, rtol=1e-4)
    assert logs["damsm_real"] == 0
    assert not changed(before[0], model.text_encoder) and not changed(before[1], image_encoder)


def test_the_weight_of_damsm_may_be_chosen(ready):
    model = ready(image_encoder=Colours(), text_training="frozen", damsm_weight=0.0)
    assert model.train_step(batch())["damsm_fake"] == 0


def test_end_to_end_trains_the_text_encoder_by_the_generators_loss(ready, stepped):
    model, data = ready(text_training="end_to_end"), batch()
    before = weights(model.text_encoder)
    logs = model.train_step(data)
    assert changed(before, model.text_encoder)
    # The step of the text comes last: all else is as with a frozen one of the same weights.
    assert logs["generator_loss"] == stepped.logs["generator_loss"]
    for one, other in zip(weights(model.generator), weights(stepped.model.generator), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_gradient_that_reaches_the_text_end_to_end_is_the_generator_losss(ready):
    model, data = ready(text_training="end_to_end"), batch()
    model.encoder_optimizer = keras.optimizers.SGD(1.0)
    model.encoder_optimizer.build(model.text_encoder.trainable_variables)
    before = weights(model.text_encoder)
    drawer = Generator.from_config(model.generator.get_config())
    drawer.set_weights(model.generator.get_weights())
    model.train_step(data)
    stepped, variables = weights(model.text_encoder), model.text_encoder.trainable_variables
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    # By the discriminator as it is after its two steps; it sees the sentence as a constant.
    with tf.GradientTape() as tape:
        sentence = model.text_encoder(data["caption"])[1]
        fake = drawer(data["noise"], sentence, training=True)[0]
        loss = -tf.reduce_mean(model.discriminator(fake, tf.stop_gradient(sentence)))
    for value, new, gradient in zip(before, stepped, tape.gradient(loss, variables), strict=True):
        np.testing.assert_allclose(new, value - tf.convert_to_tensor(gradient).numpy(), rtol=1e-3, atol=1e-6)


def test_the_weight_of_end_to_end_scales_what_reaches_the_text(ready):
    moved = []
    for factor in (1.0, 3.0):
        model = ready(text_training="end_to_end", ablation=Ablation(end_to_end_weight=factor))
        model.encoder_optimizer = keras.optimizers.SGD(1.0)
        model.encoder_optimizer.build(model.text_encoder.trainable_variables)
        before = weights(model.text_encoder)
        model.train_step(batch())
        moved.append([new - old for new, old in zip(weights(model.text_encoder), before, strict=True)])
    for once, thrice in zip(*moved, strict=True):
        np.testing.assert_allclose(thrice, 3 * once, rtol=1e-3, atol=1e-6)


class WordVectors(keras.Model):
    """Another source of sentences: the mean of word vectors, and no word features."""

    def __init__(self, vocabulary_size: int, sentence_dim: int):
        super().__init__(name="word_vectors")
        self.vocabulary_size, self.sentence_dim = vocabulary_size, sentence_dim
        self.vectors = keras.layers.Embedding(vocabulary_size, sentence_dim)
        self(np.zeros((1, 1), "int64"))

    def call(self, ids, training=False):
        known = tf.cast(ids > 0, tf.float32)[..., None]
        return None, tf.math.divide_no_nan(tf.reduce_sum(self.vectors(ids) * known, 1), tf.reduce_sum(known, 1))


@pytest.mark.parametrize("text_training", ["frozen", "damsm", "end_to_end"])
def test_another_source_of_sentences_takes_the_lstms_place(tiny_model, randomize, eagerly, text_training):
    like = tiny_model()
    vocabulary = like.vocabulary
    text_encoder = WordVectors(len(vocabulary), 6)
    model = SSAGAN(
        randomize(like.generator, 0),
        randomize(like.discriminator, 1),
        text_encoder,
        Colours(),
        vocabulary,
        text_training,
    )
    model.compile()
    before = weights(text_encoder)
    logs = model.train_step(batch())
    assert all(np.isfinite(value) for value in logs.values()) and logs["damsm_fake"] > 0
    assert changed(before, text_encoder) == (text_training != "frozen")
    with eagerly():
        one, other = model.generate(["a red bird", "yellow wings"])
    assert (one != other).any()


def test_fused_the_discriminator_takes_one_step_by_hinge_loss_and_penalty_together(ready):
    model, data = ready(fused=True), batch()
    model.discriminator_optimizer = keras.optimizers.SGD(1.0)
    variables = model.discriminator.trainable_variables
    model.discriminator_optimizer.build(variables)
    sentence = model.text_encoder(data["caption"])[1]
    fake = model.generator(data["noise"], sentence, training=True)[0]
    with tf.GradientTape() as tape:
        real, drawn = (model.discriminator(images, sentence) for images in (data["image"], fake))
        wrong = model.discriminator(data["image"][:-1], sentence[1:])
        hinge = hinge_discriminator_loss(real, wrong, drawn)
        penalty = matching_aware_gradient_penalty(model.discriminator, data["image"], sentence)
        loss = hinge + penalty
    expected = tape.gradient(loss, [variable.value for variable in variables])
    before = weights(model.discriminator)
    logs = model.train_step(data)
    assert model.discriminator_optimizer.iterations.numpy() == 1
    np.testing.assert_allclose(logs["discriminator_loss"], hinge, rtol=1e-5)
    np.testing.assert_allclose(logs["gradient_penalty"], penalty, rtol=1e-4)
    for old, new, gradient in zip(before, weights(model.discriminator), expected, strict=True):
        np.testing.assert_allclose(new, old - gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())


def test_without_the_penalty_the_hinge_step_is_the_only_one_fused_or_not(ready):
    one, other = (ready(fused=fused, ablation=Ablation(gradient_penalty=False)) for fused in (True, False))
    logs, expected = one.train_step(batch()), other.train_step(batch())
    assert {name: float(value) for name, value in logs.items()} == {name: float(v) for name, v in expected.items()}
    assert logs["gradient_penalty"] == 0
    for model in (one, other):
        assert model.discriminator_optimizer.iterations.numpy() == 1


def test_without_mismatched_pairs_only_real_and_generated_ones_count(ready):
    model, data = ready(ablation=Ablation(mismatched_pairs=False)), batch()
    sentence = model.text_encoder(data["caption"])[1]
    fake = model.generator(data["noise"], sentence, training=True)[0]
    real, drawn = (model.discriminator(images, sentence).numpy() for images in (data["image"], fake))
    expected = np.maximum(1 - real, 0).mean() + np.maximum(1 + drawn, 0).mean()
    np.testing.assert_allclose(model.train_step(data)["discriminator_loss"], expected, rtol=1e-5)


def test_the_published_quirk_runs_the_encoders_in_training_mode(ready):
    image_encoder = Colours()
    model = ready(image_encoder=image_encoder, published=True)
    image_encoder.saw_training.clear()
    model.train_step(batch())
    assert image_encoder.saw_training == [True, True]


# === Keras's other methods ===


def test_an_evaluation_tells_the_losses_in_inference_mode_and_changes_nothing(ready):
    model, data = ready(image_encoder=Colours()), batch()
    words, sentence = model.text_encoder(data["caption"])
    fake = model.generator(data["noise"], sentence, training=False)[0]
    real, drawn = (model.discriminator(images, sentence) for images in (data["image"], fake))
    wrong = model.discriminator(data["image"][:-1], sentence[1:])
    encoded = {name: model.image_encoder(images) for name, images in (("real", data["image"]), ("fake", fake))}
    of_text = (words, sentence, [4, 2, 1], data["class_id"])
    expected = {
        "discriminator_loss": hinge_discriminator_loss(real, wrong, drawn),
        "gradient_penalty": matching_aware_gradient_penalty(model.discriminator, data["image"], sentence),
        "generator_loss": -tf.reduce_mean(drawn),
        "damsm_fake": 0.1 * damsm_loss(*encoded["fake"], *of_text),
        "damsm_real": damsm_loss(*encoded["real"], *of_text),
    }
    before = [variable.numpy() for variable in model.variables]
    found = model.test_on_batch(data, return_dict=True)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert set(found) == NAMES
    for one, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(one, variable.numpy(), err_msg=variable.path)


def test_predictions_are_the_pictures_of_seed_0_for_each_caption(ready):
    # 5e-6: the batch's size decides how oneDNN orders sums of float32; 1.1e-6 was seen.
    model = ready(max_words=4)
    captions = ["a red bird", "yellow wings", "a bird"]
    found = model.predict(captions, batch_size=2, verbose=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose((found + 1) * 127.5, model.generate(captions, seed=0), atol=1)
    np.testing.assert_allclose(model.predict("a red bird", verbose=0), found[:1], atol=5e-6)
    ids = model.to_ids(tf.constant(captions))
    for data in (ids.numpy(), {"caption": ids.numpy()}, tf.data.Dataset.from_tensor_slices(captions).batch(3)):
        np.testing.assert_allclose(model.predict(data, verbose=0), found, atol=5e-6)
    given = np.ones((3, 5), "float32")
    np.testing.assert_allclose(model.predict_step({"caption": ids, "noise": given}), model(ids, given), atol=5e-6)
    wrongs = [({"image": ids}, "no captions"), (["owl"], "no word that the model knows"), ([], "nothing to draw")]
    wrongs += [
        (None, "nothing to draw"),
        (5, "nothing to draw"),
        (np.zeros((2, 8, 8, 3), "f"), "These are no captions"),
    ]
    for wrong, problem in wrongs:
        with pytest.raises(UserError, match=problem):
            model.predict(wrong, verbose=0)


@pytest.mark.parametrize("given", ["sgd", {"class_name": "SGD", "config": {"learning_rate": 0.25}}])
def test_optimizers_are_given_by_name_or_configuration(tiny_model, given):
    model = tiny_model()
    model.compile(given, "adam")
    assert isinstance(model.generator_optimizer, keras.optimizers.SGD)
    assert isinstance(model.discriminator_optimizer, keras.optimizers.Adam)


def test_what_cannot_be_compiled_is_refused(tiny_model):
    shared = keras.optimizers.SGD()
    wrong = [
        (["adaam"], {}, "No such optimizer. Received: generator_optimizer='adaam'"),
        ([{"learning_rate": 1.0}], {}, "No such optimizer"),
        ([shared, shared], {}, "cannot share an optimizer"),
        ([], {"optimizer": "adam"}, "optimizer of its own. Received: optimizer='adam'. Give generator_optimizer"),
        ([], {"loss": "mse"}, "own losses"),
    ]
    for arguments, options, problem in wrong:
        with pytest.raises(UserError, match=problem):
            tiny_model().compile(*arguments, **options)


def test_keras_cannot_export_and_what_can_is_named(tiny_model, tmp_path):
    with pytest.raises(UserError, match="scripts/export.py"):
        tiny_model().export(tmp_path / "there")
    assert not any(tmp_path.iterdir())


def test_a_summary_has_the_shapes_of_what_the_networks_make(tiny_model):
    for network in (tiny_model(16), tiny_model(16).generator, tiny_model(16).discriminator, tiny_model().text_encoder):
        lines: list[str] = []
        network.summary(print_fn=lines.append)
        assert "?" not in "".join(lines)
    tiny_model(16).summary(print_fn=lines.append)
    assert "(None, 16, 16, 3)" in "".join(lines)


def test_pictures_without_a_dark_pixel_are_warned_of_once(ready, eagerly, capfd):
    model = ready()
    bright = batch() | {"image": abs(batch()["image"])}
    stream = tf.data.Dataset.from_tensors(bright).repeat()
    with eagerly():
        model.fit(stream, steps_per_epoch=2, verbose=0, shuffle=False)
    assert capfd.readouterr().err.count('no pixel of "image" is below 0') == 1


# === model.fit ===


def _fit_beside_plain_steps(ready, dtype: str) -> tuple[SSAGAN, SSAGAN]:
    """A model trained by `fit`, in a graph, and one by the same steps called directly; their losses are the same."""
    data = {name: tf.cast(value, dtype) if value.dtype.is_floating else value for name, value in batch().items()}
    in_graph, eager = (ready(dtype=dtype) for _ in range(2))
    seen = []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda number, logs: seen.append((number, logs)))
    stream = tf.data.Dataset.from_tensors(data).repeat()
    history = in_graph.fit(stream, steps_per_epoch=3, callbacks=[callback], verbose=0, shuffle=False).history
    assert set(history) == NAMES
    assert [number for number, _ in seen] == [0, 1, 2]
    rel, abs_ = (1e-10, 1e-10) if dtype == "float64" else (1e-3, 1e-5)
    for _, told in seen:
        expected = {name: float(value) for name, value in eager.train_step(data).items()}
        assert {name: float(value) for name, value in told.items()} == pytest.approx(expected, rel=rel, abs=abs_)
    assert int(in_graph.generator_optimizer.iterations) == 3 and int(in_graph.discriminator_optimizer.iterations) == 6
    return in_graph, eager


def test_fit_trains_in_a_graph_as_the_step_does_eagerly_and_calls_callbacks(ready):
    for part, other in zip(*(each.layers for each in _fit_beside_plain_steps(ready, "float64")), strict=True):
        for one, same in zip(weights(part), weights(other), strict=True):
            np.testing.assert_allclose(one, same, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_fit_trains_in_float32_as_the_step_does(ready):
    for part, other in zip(*(each.layers for each in _fit_beside_plain_steps(ready, "float32")), strict=True):
        for one, same in zip(weights(part), weights(other), strict=True):
            # A gradient that is zero but for rounding may step either way: three steps of 4e-4, twice an iteration.
            np.testing.assert_allclose(one, same, atol=5e-3)
            assert np.mean(np.abs(one - same)) < 1e-3


# === Parts that do not fit ===


def test_parts_that_do_not_fit_are_refused():
    vocabulary = Vocabulary.build(["a red bird"])
    generator, encoder = Generator(1, 8, 5, 6, 3), TextEncoder(4, 6, 0.5, 5)
    wrong = {
        "image_size differ": lambda: SSAGAN(generator, Discriminator(1, 16, 6), encoder),
        "sentence_dim differ": lambda: SSAGAN(generator, Discriminator(1, 8, 5), encoder),
        "text encoder do not fit": lambda: SSAGAN(
            generator, None, encoder, vocabulary=Vocabulary.build(["one word more than that"])
        ),
        "No such text training": lambda: SSAGAN(generator, None, encoder, text_training="magic"),
        "A weight is a number": lambda: SSAGAN(generator, None, encoder, damsm_weight=-1.0),
        "No such augmentation": lambda: SSAGAN(generator, None, encoder, augmentation="adaptive"),
        "This is no vocabulary": lambda: SSAGAN(generator, None, encoder, vocabulary=["a"]),
        "learns from an image encoder": lambda: SSAGAN(generator, None, encoder, text_training="damsm"),
        "for sampling only": lambda: SSAGAN(generator, None, encoder, vocabulary=vocabulary).compile(),
    }
    for problem, make in wrong.items():
        with pytest.raises(UserError, match=f"{problem}.*Received: ") as refused:
            make()
        assert "\n" not in str(refused.value)
