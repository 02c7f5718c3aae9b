"""What every learner needs beside values and policies.

Losses, normalisation, averages, updates, and the cutting of sequences.
"""
