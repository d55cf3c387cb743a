"""Ours against the floor: a hand-written client of the same service. Run with `python -m benchmarks --help`."""
