"""What is wrong with the data while it is trained on is said in one line; what is wrong with the program is not."""

import keras
import pytest
import tensorflow as tf

from ssagan_tf import UserError
from ssagan_tf.data.records import features
from ssagan_tf.training.fitting import fit


class Mean(keras.Model):
    def train_step(self, batch):
        return {"mean": tf.reduce_mean(tf.cast(batch, tf.float32))}


class Broken(keras.Model):
    def train_step(self, batch):
        return {"mean": tf.gather(tf.zeros([3]), tf.shape(batch)[0] + 7)}


@pytest.fixture(params=[b"hello", b"\xdd\xff", tf.train.Example().SerializeToString()], ids=["text", "bytes", "empty"])
def record(request):
    return request.param


def test_a_record_of_something_else_is_told(record):
    stream = tf.data.Dataset.from_tensors(record).map(lambda text: tf.io.parse_single_example(text, features()))
    lengths = stream.map(lambda fields: tf.strings.length(fields["image/encoded"])).batch(1)
    model = Mean()
    model.compile()
    with pytest.raises(UserError, match="prepared data is damaged. Received: .*Run prepare_data.py --check") as refused:
        fit(model, lengths, 1, [])
    assert "\n" not in str(refused.value)


def test_a_picture_that_is_too_small_is_told():
    def cropped(png):
        return tf.image.stateless_random_crop(tf.io.decode_png(png, channels=3), [8, 8, 3], [1, 2])

    png = tf.io.encode_png(tf.zeros([4, 4, 3], tf.uint8))
    model = Mean()
    model.compile()
    with pytest.raises(UserError, match="prepared data is damaged"):
        fit(model, tf.data.Dataset.from_tensors(png).map(cropped).batch(1), 1, [])


def test_a_mistake_of_the_model_is_not_called_one_of_the_data():
    model = Broken()
    model.compile()
    with pytest.raises(tf.errors.InvalidArgumentError):
        fit(model, tf.data.Dataset.from_tensors(tf.zeros([2])).batch(1), 1, [])
