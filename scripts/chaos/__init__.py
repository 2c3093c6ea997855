"""The torture run: the real gateway under SIGKILL, between partners that fail at random, then an audit.

`families` generates who is asked and how each parent behaves; `parents` read and reply on their handsets;
`partners` runs the simulated SMSCs, MCB, wallet and SDU with their outages; `cluster` starts, kills and pauses the
gateway's processes and their database; `records` reads the database at the end; `audit` compares it with what the
partners recorded; `run` is one run; `main` is the command.
"""
