"""Detects side effects that a plain JAX transformation would lose or repeat.

It reads Python's stack and JAX's traces, and changes nothing.
"""
