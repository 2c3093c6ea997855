"""Simulators of the gateway's partners: SMSC, MCB, wallet and SDU as real servers on localhost.

`gateway simulate` runs them as programs. The demo, the tests, the benches and the chaos runs use the classes.
None of them imports the gateway's own protocol code: the two sides must not share an error.
"""
