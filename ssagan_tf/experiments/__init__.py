"""Measurements: ablations and benchmarks."""

from collections.abc import Mapping

REFERENCE, FINE_TUNED = "reference", "fine_tuned"
# What each variant changes in the configuration of the reference, which is as published: a mask in every block, and a
# text encoder that goes on learning from DAMSM.
VARIANTS: Mapping[str, dict[str, object]] = {
    REFERENCE: {},
    "no_mask": {"mask_blocks": 0},
    "first_3_masks": {"mask_blocks": 3},
    "frozen_text": {"text_training": "frozen"},
    "end_to_end_text": {"text_training": "end_to_end"},
    "no_penalty": {"gradient_penalty": False},
    "fused": {"fused": True},
    "no_mismatched": {"mismatched_pairs": False},
    "fixed": {"augment": "fixed"},
    "adaptive": {"augment": "adaptive"},
    FINE_TUNED: {},  # see `ablation`
}
