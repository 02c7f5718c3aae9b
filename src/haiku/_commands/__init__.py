"""The commands of `python -m haiku` that load models."""
