"""`gateway rehearse`: a real list against simulators. plan.py calculates, machinery.py runs the gateway."""
