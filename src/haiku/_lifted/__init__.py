"""JAX's transformations for use inside a transformed function.

Each takes a snapshot of the running frame, gives JAX's own transformation a pure
function of it, and absorbs the result: see `pure.py`. Nothing here names parameters,
and no transformation of JAX's is written again.
"""
