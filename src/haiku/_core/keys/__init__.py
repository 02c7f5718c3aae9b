"""Sequences of random keys, and initial values drawn in batches."""
