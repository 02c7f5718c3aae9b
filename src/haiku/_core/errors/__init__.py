"""Sends readers of error messages to a page of the documentation, or to `help`.

The message itself is written where the error is found.
"""
