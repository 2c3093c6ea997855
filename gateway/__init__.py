"""An asynchronous SMS gateway that asks parents for consent to free school meals."""

__version__ = "0.2.0.dev0"
