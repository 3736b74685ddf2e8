"""Trains once on one device and once on two, and fails unless they agree: what `test_distribution.py` runs.

Logical devices have to be there before TensorFlow starts, so this is a process of its own.
"""

import functools

import keras
import numpy as np
import tensorflow as tf
from small_gan import BATCH, CAPTIONS, CLASS_IDS, Colours, gan, gan_by_plain_steps, random_pictures

from ssagan_tf import DAMSM
from ssagan_tf.losses import damsm_loss
from ssagan_tf.networks import TextEncoder
from ssagan_tf.step.ablation import Ablation
from ssagan_tf.step.augmentation import Augmentation
from ssagan_tf.step.finite import was_skipped
from ssagan_tf.training import checkpoint

STEPS = 3
batch = {"image": random_pictures(BATCH), "caption": CAPTIONS, "class_id": CLASS_IDS}


def train(strategy, augmented=False, **options):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        if augmented:
            options["augmentation"] = Augmentation(pictures=10 * BATCH)
            options["augmentation"].chance.assign(0.5)
        model = gan_by_plain_steps(**options)
    told = []
    keep = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: told.append(dict(logs)))
    data = tf.data.Dataset.from_tensors(batch).repeat()
    model.fit(data, steps_per_epoch=STEPS, callbacks=[keep], verbose=0, shuffle=False)
    parts = [model.generator, model.discriminator, model.text_encoder, model.image_encoder]
    parts += [model.augmentation] if augmented else []
    return told, [(v.path, v.numpy()) for part in parts for v in part.variables if "seed" not in v.path]


def encoders(**options):
    keras.utils.set_random_seed(1)
    return DAMSM(TextEncoder(7, 6, 0.0, 5, name="t"), Colours(), **options)


def pretrain(strategy):
    with strategy.scope():
        damsm = encoders()
        for variable in damsm.text_encoder.trainable_variables:
            variable.assign(30.0 * variable)  # so that its gradients are clipped
        damsm.compile(keras.optimizers.SGD(0.05))
    history = damsm.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=STEPS, verbose=0, shuffle=False)
    return [{"loss": history.history["damsm_loss"][-1]}], [(v.path, v.numpy()) for v in damsm.trainable_variables]


def pretrained_by_replica_is_the_mean_of_the_replicas(two_devices):
    with two_devices.scope():
        damsm = encoders(global_negatives=False)
        damsm.compile(keras.optimizers.SGD(0.05))
    data = tf.data.Dataset.from_tensors(batch)
    found = damsm.fit(data, verbose=0, shuffle=False).history["damsm_loss"][0]
    damsm = encoders()
    halves = [{name: value[part] for name, value in batch.items()} for part in (slice(2), slice(2, 4))]
    losses = [
        damsm_loss(
            *damsm(half["image"], half["caption"]),
            np.count_nonzero(half["caption"], -1),
            tf.constant(half["class_id"]),
            gamma1=4.0,
        )
        for half in halves
    ]
    np.testing.assert_allclose(found, np.mean(losses), rtol=1e-4)


def by_replica_is_another_loss(two_devices):
    """Each device's captions as its only negatives: another loss, and smaller, for there are fewer."""
    (all_of_them, *_), _ = train(two_devices)
    (their_own, *_), _ = train(two_devices, ablation=Ablation(global_negatives=False))
    assert 0 < float(their_own["damsm_real"]) < float(all_of_them["damsm_real"])
    assert float(their_own["discriminator_loss"]) == float(all_of_them["discriminator_loss"])


def a_step_that_is_not_finite_leaves_no_trace_on_either(two_devices):
    with two_devices.scope():
        model = gan()
        model.compile()
    named = checkpoint.variables(model, None)

    def values():
        local = two_devices.experimental_local_results
        return [part.numpy() for name in named if "random" not in name for part in local(named[name].value)]

    image = batch["image"].copy()
    image[3, 0, 0, 0] = np.nan  # the second device's
    before, told = values(), []
    keep = keras.callbacks.LambdaCallback(on_train_batch_end=lambda number, logs: told.append(was_skipped(logs)))
    for pictures in (image, batch["image"]):
        data = tf.data.Dataset.from_tensors(batch | {"image": pictures})
        model.fit(data, callbacks=[keep], verbose=0, shuffle=False)
        same = [np.array_equal(old, new) for old, new in zip(before, values(), strict=True)]
        assert all(same) if pictures is image else not all(same)
    assert told == [True, False] and len(before) == 2 * len([name for name in named if "random" not in name])


def compare(train, two_devices):
    one_logs, one = train(tf.distribute.get_strategy())
    two_logs, two = train(two_devices)
    for step, (a, b) in enumerate(zip(one_logs, two_logs, strict=True)):
        for name in a:
            assert float(a[name]) != 0
            np.testing.assert_allclose(float(b[name]), float(a[name]), rtol=1e-4, atol=1e-5, err_msg=f"{name} {step}")
    for (name, a), (_, b) in zip(one, two, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-4, err_msg=name)


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two_devices = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    compare(train, two_devices)
    compare(functools.partial(train, augmented=True), two_devices)
    compare(functools.partial(train, gradient_checkpointing=True), two_devices)
    compare(pretrain, two_devices)
    by_replica_is_another_loss(two_devices)
    pretrained_by_replica_is_the_mean_of_the_replicas(two_devices)
    a_step_that_is_not_finite_leaves_no_trace_on_either(two_devices)
    print("EQUAL")
