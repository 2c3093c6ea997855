"""The torture run: the real gateway under SIGKILL, between partners that fail at random, then an audit.

`families` invents who is asked and how each parent behaves; `parents` are their handsets and hands; `partners`
holds SMSCs, MCB, wallet and SDU and what befalls them; `cluster` runs, kills and pauses the gateway's processes
and their database; `audit` compares what the partners saw with what the database says; `main` is the command.
"""
