"""Benchmarks of the gateway: one module each, on top of rig.py. docs/benchmarks.md explains them."""
