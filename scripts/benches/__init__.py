"""How fast the gateway is: one module a bench, over the machinery in rig.py. docs/benchmarks.md explains them."""
