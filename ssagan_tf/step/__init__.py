"""What a training step is made of beside its losses."""
