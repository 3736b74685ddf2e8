"""One version of a model, loaded: what its signatures are, and arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from ssagan_tf.on_device import MAX_TRUNCATION
from ssagan_tf.serving import rest
from ssagan_tf.serving.rest import invalid


class Loaded:
    """What every backend has in common: it checks what is asked and what is answered.

    A backend sets `version` and `signatures`, the metadata of each signature by name, and computes in `run`.
    """

    version: int
    signatures: dict[str, dict]

    def inputs_of(self, signature: str) -> dict[str, dict]:
        """Metadata of each input. Raises ServingError for an unknown signature."""
        if signature not in self.signatures:
            raise invalid(f'Serving signature name: "{signature[:100]}" not found in signature def')
        return self.signatures[signature]["inputs"]

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on arrays of the right types, strings as objects.

        Raises:
            ServingError: wrong inputs, what the model refuses, or an answer that is not finite.
        """
        wanted = self.inputs_of(signature)
        if set(inputs) != set(wanted):
            raise invalid(
                f"input size does not match signature: {len(inputs)}!={len(wanted)}. "
                f"Sent extra: {sorted(set(inputs) - set(wanted))}. "
                f"Missing but required: {sorted(set(wanted) - set(inputs))}."
            )
        for name, info in wanted.items():
            rest.check_array(name, inputs[name], info)
        if np.abs(inputs.get("truncation", [0])).max(initial=0) > MAX_TRUNCATION:
            raise invalid(f"Input truncation must be at most {MAX_TRUNCATION} but was larger")
        outputs = self.run(signature, inputs)
        wrong = [name for name, value in outputs.items() if value.dtype.kind == "f" and not np.isfinite(value).all()]
        if wrong:
            raise invalid(f"Output {wrong[0]} is not finite for these inputs")
        return outputs

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of inputs that fit the signature. Raises ServingError for what the model refuses."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Runs a signature of one input: the first call is slow, and tells whether the model works."""
        for name, signature in self.signatures.items():
            if len(signature["inputs"]) == 1:
                self.predict(name, {key: rest.example(info) for key, info in signature["inputs"].items()})
                break
