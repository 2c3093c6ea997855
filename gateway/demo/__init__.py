"""`gateway demo`: the order's whole journey between simulated operators, parents, MCB, wallet and SDU.

The gateway is the real one, in a process of its own; only SMPP and HTTP connect it with the simulation. `model`
describes a kind of family, `scenarios` lists the kinds with their replies and expected outcomes, `families`
generates the families, `parents` read and reply on their handsets, `partners` runs the simulators and their
outages, `checks` compares the outcome with the scenarios, `screen` and `report` show it.
"""
