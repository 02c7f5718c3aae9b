"""`transform` and its kin: a function that uses modules as a pair of pure functions."""
