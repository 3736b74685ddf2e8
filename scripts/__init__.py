"""The commands, one a file; in an installed package they are `ssagan_tf.commands`, and `ssagan-train` runs train.py."""
