"""What users give as a batch: taken if it can only mean one thing, else refused before anything learns from it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import UserError, Vocabulary
from ssagan_tf.step.batches import BatchForm, told
from ssagan_tf.step.model import BatchModel
from ssagan_tf.text.captions import CaptionEncoder

ENCODER = CaptionEncoder(Vocabulary.build(["a red bird with yellow wings"]), 4)
FORM = BatchForm(8, 7, 5, False, lambda texts: ENCODER(texts)[0])
PICTURES = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype("float32")
IDS = np.array([[1, 2, 3, 0], [4, 5, 0, 0], [1, 0, 0, 0], [6, 0, 0, 0]])
TEXTS = np.array(["a red bird", "with yellow", "a", "wings"])
BATCH = {"image": PICTURES, "caption": IDS, "class_id": np.arange(4)}


# === Forms ===

WRONG = {
    "a tuple": ((PICTURES, IDS), "a tuple of 2"),
    "an array": (PICTURES, "a ndarray"),
    "nothing": (None, "a NoneType"),
    "no captions": ({"image": PICTURES}, "'image'"),
    "another name": ({"images": PICTURES, "caption": IDS}, "'images', 'caption'"),
    "another name of the labels": ({"image": PICTURES, "caption": IDS, "label": IDS[:, 0]}, "'label'"),
    "bytes of pixels": (BATCH | {"image": PICTURES.astype("uint8")}, "uint8.*pictures / 127.5 - 1"),
    "another size": (BATCH | {"image": PICTURES[:, :4]}, r"float32 \(4, 4, 8, 3\)"),
    "channels first": (BATCH | {"image": PICTURES.transpose(0, 3, 1, 2)}, "channels come last"),
    "grey pictures": (BATCH | {"image": PICTURES[..., :1]}, r"\(4, 8, 8, 1\)"),
    "ids that are no whole numbers": (BATCH | {"caption": IDS / 2}, "float64"),
    "one id each": (BATCH | {"caption": IDS[:, 0]}, r"int64 \(4,\)"),
    "text in columns": (BATCH | {"caption": TEXTS[:, None]}, r"string \(4, 1\)"),
    "labels one hot": (BATCH | {"class_id": np.eye(4)}, "class_id"),
    "noise of another size": (BATCH | {"noise": np.zeros((4, 6), "float32")}, r"float32 \(4, 6\)"),
}


@pytest.mark.parametrize(("batch", "received"), WRONG.values(), ids=WRONG)
def test_a_batch_of_another_form_is_refused_and_the_dictionary_wanted_is_shown(batch, received):
    wanted = r'Give \{"image": float \(B, 8, 8, 3\) in \[-1, 1\], "caption": ids \(B, T\)'
    with pytest.raises(UserError, match=f"does not fit the model. Received: .*{received}.*{wanted}") as refused:
        FORM.check(batch)
    assert "\n" not in str(refused.value)


VALUES = {
    "0 to 255": ({"image": (PICTURES + 1) * 127.5}, "far beyond"),
    "words beyond the vocabulary": (
        {"caption": IDS + 1},
        "not in the vocabulary. Received: .* or 7 or above",
    ),
    "ids below 0": ({"caption": IDS - 1}, "not in the vocabulary"),
    "padding in front": ({"caption": IDS[:, ::-1]}, "comes after a caption's words"),
    "fewer captions": ({"caption": IDS[:3]}, "not as many"),
    "fewer labels": ({"class_id": IDS[:2, 0]}, "not as many"),
}


@pytest.mark.parametrize(("change", "problem"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("in_graph", [False, True])
def test_values_that_cannot_be_meant_are_refused(change, problem, in_graph):
    batch = {name: tf.constant(value) for name, value in (BATCH | change).items()}
    completed = tf.function(FORM.completed, autograph=False) if in_graph else FORM.completed
    with pytest.raises(UserError, match=problem) as refused, told():
        completed(batch)
    assert "Received: " in str(refused.value) and "\n" not in str(refused.value)


def test_other_errors_of_a_graph_pass():
    with pytest.raises(tf.errors.InvalidArgumentError, match="ours"), told():
        tf.debugging.assert_equal(1, 2, message="ours")


def test_a_pixel_that_is_not_finite_is_left_to_the_step():
    image = PICTURES.copy()
    image[0, 0, 0] = [np.nan, np.inf, 1e30]
    FORM.completed(BATCH | {"image": image})


def test_text_becomes_the_models_ids():
    for captions in (TEXTS, TEXTS.astype(object), list(TEXTS), tf.constant(TEXTS)):
        np.testing.assert_array_equal(FORM.completed(BATCH | {"caption": captions})["caption"], IDS)


def test_a_model_that_reads_text_gets_it_and_no_ids():
    form = BatchForm(8, 7, 5, True, None)
    np.testing.assert_array_equal(form.completed(BATCH | {"caption": TEXTS})["caption"], TEXTS.astype(bytes))
    with pytest.raises(UserError, match='"caption": text'):
        form.check(BATCH)


def test_labels_may_be_left_out_or_be_text():
    without = FORM.completed({"image": PICTURES, "caption": IDS})
    np.testing.assert_array_equal(without["class_id"], [-1] * 4)  # no class: all others are negatives
    labels = FORM.completed(BATCH | {"class_id": ["owl", "tit", "owl", ""]})["class_id"].numpy()
    assert labels.dtype == np.int64 and labels[0] == labels[2] and len(set(labels)) == 3 and min(labels) >= 0


# === Keras's methods ===


class Mean(BatchModel):
    """Its loss is the mean pixel; it counts the pictures that it was trained on."""

    batch_form = FORM

    def __init__(self):
        super().__init__()
        self.pictures = 0
        self.second = keras.optimizers.SGD(0.5)

    def compile(self, **options):
        super().compile(optimizer="sgd", run_eagerly=True, **options)
        self._average_losses(["mean"], "float32")

    def optimizers(self):
        return [self.optimizer, self.second]

    def train_step(self, batch):
        batch = FORM.completed(batch)
        self.pictures += len(batch["image"])
        return {"mean": tf.reduce_mean(batch["image"])}

    def test_step(self, batch):
        image = FORM.completed(batch)["image"]
        return self._mean_so_far({"mean": tf.reduce_mean(image)}, tf.shape(image)[0])


class Rows(keras.utils.PyDataset):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {name: value[2 * index : 2 * index + 2] for name, value in self.batch.items()}


def rows(batch):
    return (Rows(batch)[index] for index in range(2))


def dataset(batch):
    return tf.data.Dataset.from_tensor_slices(batch).batch(2)


WITH_TEXT = BATCH | {"caption": TEXTS}
CONTAINERS = {
    "dataset": lambda: dataset(BATCH),
    "dataset of text": lambda: dataset(WITH_TEXT),
    "arrays": lambda: BATCH,
    "arrays of text": lambda: WITH_TEXT,
    "a list of text": lambda: WITH_TEXT | {"caption": list(TEXTS)},
    "generator": lambda: rows(BATCH),
    "generator of text": lambda: rows(WITH_TEXT),
    "PyDataset": lambda: Rows(BATCH),
}


@pytest.fixture
def model():
    made = Mean()
    made.compile()
    return made


@pytest.mark.parametrize("data", CONTAINERS.values(), ids=CONTAINERS)
def test_every_container_that_keras_takes_trains_and_evaluates(model, data):
    model.fit(data(), verbose=0, validation_data=dataset(BATCH), shuffle=False)
    assert model.pictures == 4
    assert model.evaluate(data(), verbose=0) == pytest.approx(PICTURES.mean(), abs=1e-6)


def test_single_batches_train_and_evaluate(model):
    assert model.train_on_batch(BATCH) == pytest.approx(PICTURES.mean())
    for _ in range(2):
        assert model.test_on_batch(WITH_TEXT, return_dict=True) == {"mean": pytest.approx(PICTURES.mean())}


def test_an_evaluation_is_the_mean_over_pictures_and_not_of_the_last_batch(model):
    parts = tf.data.Dataset.from_tensor_slices(BATCH).batch(3)
    for _ in range(2):
        assert model.evaluate(parts, verbose=0) == pytest.approx(PICTURES.mean(), abs=1e-6)
    assert model.evaluate(parts.skip(1), verbose=0) == pytest.approx(PICTURES[3].mean(), abs=1e-6)


@pytest.mark.parametrize("wrong", [BATCH | {"image": PICTURES[:, :4]}, BATCH | {"class_id": np.ones(4)}])
def test_wrong_validation_data_are_refused_before_training(model, wrong):
    for data in (dataset(wrong), wrong, Rows(wrong)):
        with pytest.raises(UserError, match="does not fit the model"):
            model.fit(dataset(BATCH), validation_data=data, verbose=0)
    assert model.pictures == 0


def test_pictures_and_captions_as_two_arguments_are_refused(model):
    for method in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(UserError, match='Received: a tuple of 2. Give {"image"'):
            method(PICTURES, IDS)


def test_text_of_numpy_in_a_pydataset_is_refused_in_a_line(model):
    with pytest.raises(UserError, match=r"Give tf.constant\(captions\)"):
        model.fit(Rows(WITH_TEXT), verbose=0)


@pytest.mark.parametrize("option", ["sample_weight", "class_weight"])
def test_weights_of_samples_are_refused(model, option):
    with pytest.raises(UserError, match=f"alike. Received: {option}"):
        model.fit(BATCH, verbose=0, **{option: {0: 1.0}})


@pytest.mark.parametrize("option", [{"loss": "mse"}, {"metrics": ["mae"]}, {"loss_weights": [1.0]}])
def test_losses_and_metrics_of_others_are_refused(option):
    with pytest.raises(UserError, match=f"own losses. Received: {next(iter(option))}="):
        Mean().compile(**option)


def test_a_scheduler_moves_the_rates_of_all_optimizers(model):
    half = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    before = [float(optimizer.learning_rate) for optimizer in model.optimizers()]
    model.fit(dataset(BATCH), epochs=2, verbose=0, callbacks=half)
    after = [float(optimizer.learning_rate) for optimizer in model.optimizers()]
    np.testing.assert_allclose(after, np.array(before) / 4, rtol=1e-6)


def test_a_plateau_moves_the_rates_of_all_optimizers(model):
    plateau = keras.callbacks.ReduceLROnPlateau("mean", factor=0.1, patience=0, mode="max", min_delta=1)
    model.fit(dataset(BATCH), epochs=2, verbose=0, callbacks=[plateau])
    assert float(model.second.learning_rate) == pytest.approx(0.05)
