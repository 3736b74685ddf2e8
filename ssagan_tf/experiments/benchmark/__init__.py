"""How fast, how large, and against what: `scripts/benchmark.py`."""
