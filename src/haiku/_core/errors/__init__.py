"""Where error messages send their reader: a page of the documentation, or `help`.

The message itself is written where the error is found.
"""
