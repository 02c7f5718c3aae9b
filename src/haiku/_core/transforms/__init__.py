"""`transform` and its variants: pure functions of a function that uses modules."""
