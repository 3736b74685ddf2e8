"""Captioned pictures: sources, preparation, batches."""
