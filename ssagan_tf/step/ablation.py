"""What an ablation changes in a training step, beside settings that anybody may change."""

from __future__ import annotations

import dataclasses
import typing

from ssagan_tf.config import ModelConfig


@dataclasses.dataclass(frozen=True)
class Ablation:
    """By default nothing is changed.

    Attributes:
        end_to_end_weight: factor on the gradient by which the generator's loss reaches the text encoder; its learning
            rate is that of `encoder_optimizer`.
        global_negatives: whether the captions of all replicas are DAMSM's negatives, or each replica's its own.
        gradient_penalty: whether the discriminator has its gradient penalty.
        mismatched_pairs: whether the discriminator sees real pictures with other pictures' sentences.
    """

    end_to_end_weight: float = 1.0
    global_negatives: bool = True
    gradient_penalty: bool = True
    mismatched_pairs: bool = True

    @classmethod
    def from_model_config(cls, config: ModelConfig) -> typing.Self:
        return cls(**{field.name: getattr(config, field.name) for field in dataclasses.fields(cls)})

    @classmethod
    def popped(cls, arguments: dict[str, typing.Any]) -> typing.Self:
        """Takes what is its own from a saved model's arguments. Version 0.1 has its fields among the others, and
        `gradient_penalty` as `penalised`."""
        names = {field.name: field.name for field in dataclasses.fields(cls)} | {"gradient_penalty": "penalised"}
        old = {name: arguments.pop(saved) for name, saved in names.items() if saved in arguments}
        return cls(**old | arguments.pop("ablation", {}))
