"""Sequences of random keys, and initial values that are drawn together."""
