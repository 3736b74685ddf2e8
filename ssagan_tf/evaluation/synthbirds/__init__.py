"""Scores of rendered birds: a network that reads their attributes off a picture."""
