"""Figures about trained models: pure functions of arrays, and what collects the arrays."""

# Of the registries in `metrics` and `protocols`, for whoever asks before TensorFlow has started.
METRIC_NAMES = (
    "fid",
    "kid",
    "is",
    "recognised",
    "precision_recall",
    "r_precision",
    "semantics",
    "memorization",
    "diversity",
    "masks",
    "clip",
)
PROTOCOL_NAMES = ("ttur", "clean", "published", "torchvision", "keras", "efficientnet", "synthbirds")
