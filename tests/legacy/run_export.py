"""Runs an export in an old TensorFlow; needs nothing of this package.

python run_export.py VERSION_FOLDER WANTED.npz -> JSON with versions and the largest differences to the wanted pictures.
"""

import json
import sys

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

folder, wanted = sys.argv[1], np.load(sys.argv[2])
loaded = tf.saved_model.load(folder)
inputs = {"captions": tf.constant(wanted["captions"]), "seed": tf.constant(wanted["seed"])}
drawn = loaded.signatures["generate"](**inputs)
png = loaded.signatures["generate_png"](truncation=tf.ones(len(wanted["seed"])), **inputs)["png_bytes"]
pixels = np.stack([tf.io.decode_png(file).numpy() for file in png])
# The picture goes on into Addons, as in a program that holds on to it.
turned = tfa.image.rotate(tfa.image.rotate(drawn["images"], np.pi), np.pi)
print(
    json.dumps(
        {
            "tensorflow": tf.__version__,
            "addons": tfa.__version__,
            "images": float(np.abs(drawn["images"] - wanted["images"]).max()),
            "pixels": int(np.abs(pixels.astype(int) - wanted["pixels"]).max()),
            "turned": float(np.abs(turned - drawn["images"]).max()),
            "unknown": drawn["unknown_words"].numpy().tolist(),
            "signatures": sorted(loaded.signatures),
        }
    )
)
