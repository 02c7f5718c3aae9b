"""Parameters replaced by other parameters, by functions of them, or by arrays.

What a block replaces is decided by path; modules know nothing of it.
"""
