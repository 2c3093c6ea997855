"""Checks of the repository that no tool on the shelf does; scripts/test runs each as `python -m checks.NAME`."""
