"""`python -m haiku compare A B`: describes the differences between two checkpoints.

These files read checkpoints; `haiku.surgery.diff` compares them. Nothing is written,
and code inside a pickle runs only with `--trust`.
"""
