"""Trains the small network that reads a rendered bird's attributes from its picture, for `evaluate.py`.

    python scripts/train_attribute_network.py
    python scripts/train_attribute_network.py --out=other.safetensors --birds=5000 --epochs=4

The package comes with its weights: this is how they were made, a quarter of an hour on one CPU core. The birds are
drawn by lot, each attribute independent of the others; at the end the share that is read rightly is told for other
such birds and for those of synthbirds' test split, and nothing is written if one is below 98 %.
"""

from absl import flags

from ssagan_tf.core import cli
from ssagan_tf.errors import UserError

_OUT = cli.path_flag("out", None, "Safetensors file to write. [default: the one in the package]")
_BIRDS = flags.DEFINE_integer("birds", 20_000, "Birds to train on.", lower_bound=100)
_EPOCHS = flags.DEFINE_integer("epochs", 8, "Rounds through them.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Another seed, other birds and weights.")
_LEAST = flags.DEFINE_float("least", 0.98, "Accuracy that each attribute must reach.", 0.0, 1.0)


def main(_) -> None:
    cli.start_tensorflow()
    from ssagan_tf.evaluation.synthbirds import attribute_training as training
    from ssagan_tf.evaluation.synthbirds.attribute_network import WEIGHTS

    network = training.train(*training.independent_birds(_BIRDS.value, _SEED.value), _EPOCHS.value, _SEED.value)
    training.round_to_half(network)
    independent = training.accuracies(network, *training.independent_birds(2000, _SEED.value + 1))
    test = training.accuracies(network, *training.test_birds(2000))
    for name in test:
        cli.say(f"{name:12} {independent[name]:8.2%} of independent birds {test[name]:8.2%} of the test split")
    worst = {name: min(independent[name], test[name]) for name in test}
    name = min(worst, key=lambda attribute: worst[attribute])
    if worst[name] < _LEAST.value:
        raise UserError(
            f"The network is not good enough. Received: {worst[name]:.2%} for {name}. "
            f"Train on more --birds or for more --epochs, to reach {_LEAST.value:.0%}."
        )
    out = _OUT.value or WEIGHTS
    training.save(network, out)
    cli.say(f"Wrote {out}")


if __name__ == "__main__":
    cli.run(main)
