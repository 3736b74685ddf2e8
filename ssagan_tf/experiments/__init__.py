"""Measurements: ablations and benchmarks."""
