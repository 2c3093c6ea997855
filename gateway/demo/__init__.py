"""The demo: the whole of the order's journey with simulated operators, parents, MCB, wallet and SDU.

The gateway is the real one, in a process of its own; what is simulated stands around it and sees nothing of it
but SMPP and HTTP. `repertoire` says of each kind of family what it is like and does, and what must come of it;
`cast` invents the families; `parents` live with their handsets; `stage` holds the partners and what befalls
them; `verdict` compares what came with what had to come; `screen` shows it all.
"""
