"""What would be lost, or repeated, when a plain JAX transformation ends.

Looks at Python's stack and at JAX's traces; stores and changes nothing.
"""
