"""Weights and models from and for other libraries.

Each file needs one other library, and imports it when the file itself is imported:
`import haiku` needs none of them.
"""

__all__ = ()
