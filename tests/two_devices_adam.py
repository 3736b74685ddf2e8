"""Steps of Adam on two devices, against its formula: run by `test_optimizers.py`.

Logical devices have to be there before TensorFlow starts, so this is a process of its own.
"""

import keras
import numpy as np
import tensorflow as tf

from ssagan_tf.step.optimizers import Adam

START = np.array([1.0, 2.0, 3.0])
GRADIENTS = np.array([[3.0, 1e-8, 0.0], [-2.0, 3e-8, 0.0], [0.5, 0.0, 0.0]])


def by_formula() -> np.ndarray:
    weights, mean, square = START, np.zeros(3), np.zeros(3)
    for step, gradient in enumerate(GRADIENTS, 1):
        mean, square = 0.5 * mean + 0.5 * gradient, 0.9 * square + 0.1 * gradient**2
        weights = weights - 0.01 * (mean / (1 - 0.5**step)) / (np.sqrt(square / (1 - 0.9**step)) + 1e-8)
    return weights


def on(strategy: tf.distribute.Strategy) -> list[np.ndarray]:
    """The weights of each device after the steps; each replica has its share of the gradient."""
    with strategy.scope():
        weights = keras.Variable(START, dtype="float32")
        optimizer = Adam(0.01, beta_1=0.5, beta_2=0.9, epsilon=1e-8)
        optimizer.build([weights])

    def step(gradient):
        optimizer.apply([gradient / strategy.num_replicas_in_sync], [weights])

    run = tf.function(lambda gradient: strategy.run(step, args=(gradient,)))
    for gradient in GRADIENTS:
        run(tf.constant(gradient, tf.float32))
    return [part.numpy() for part in strategy.experimental_local_results(weights.value)]


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two_devices = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    parts = on(two_devices)
    assert len(parts) == 2
    for part in parts:
        np.testing.assert_allclose(part, by_formula(), rtol=1e-6)
    print("EQUAL")
