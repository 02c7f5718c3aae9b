"""Weights and models from and for other libraries.

Each file needs one other library and imports it at the top; `import haiku` needs none.
"""

__all__ = ()
