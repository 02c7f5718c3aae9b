"""Policies: distributions over actions, policy gradients, MPO.

Nothing here keeps parameters: policies are passed as logits, samples and log
probabilities.
"""
