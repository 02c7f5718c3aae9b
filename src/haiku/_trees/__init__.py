"""Patterns of paths, and rules by path with one precedence.

Precision, surgery, replaced parameters, `vmap` and `shard_map` stand on this. Nothing
here knows modules or runs one.
"""
