"""Finds which network of a model of rendered birds loses an attribute: text encoder, image encoder or discriminator.

    python scripts/probe_attributes.py --model=synthbirds_64

For each attribute: the share of captions that name it; whether a linear probe reads it off their sentence embeddings,
beside the share of its most frequent value; and how often the discriminator and DAMSM's image encoder prefer the true
caption of a real test bird to the same caption with that word swapped, of which half is chance.
"""

from absl import flags

from ssagan_tf.core import cli

_MODEL = cli.path_flag(
    "model", "synthbirds_64", "Run folder, model folder or name; with what only training needs.", ("hf", "kaggle")
)
_BIRDS = flags.DEFINE_integer("birds", 1500, "Training birds whose captions the probe learns from.", lower_bound=10)


def main(_) -> None:
    cli.start_tensorflow()
    from ssagan_tf.evaluation.synthbirds.probes import probe
    from ssagan_tf.training.run import load_model

    model = load_model(_MODEL.value, sampling_only=False)
    cli.say("attribute     named  probe  (frequent)  discriminator  image encoder  swaps")
    for name, found in probe(model, _BIRDS.value).items():
        cli.say(
            f"{name:12}  {found.named:5.1%}  {found.probe:5.1%}  ({found.frequent:5.1%})"
            f"     {found.discriminator:6.1%}         {found.image_encoder:6.1%}         {found.swaps}"
        )


if __name__ == "__main__":
    cli.run(main)
