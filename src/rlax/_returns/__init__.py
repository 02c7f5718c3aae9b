"""How far to look: returns of one stream, each one use of the recurrence.

No values are chosen and no loss is formed here.
"""
