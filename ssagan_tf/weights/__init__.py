"""Weights in files, and trained models as folders."""
