"""How to act, and how to improve it: distributions, policy gradients, MPO.

Nothing here keeps parameters: policies come in as logits, samples and log
probabilities.
"""
