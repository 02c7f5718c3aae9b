"""Returns of one stream, each one run of the recurrence.

Choosing values and forming losses is left to `_values`.
"""
