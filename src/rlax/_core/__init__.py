"""Foundations of all ops: contracts, masks, the recurrence, arrays, trees, records.

Nothing here knows what a return, a value or a policy is.
"""
