"""Parts of a training step besides the losses."""
