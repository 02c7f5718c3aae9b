"""What every op stands on: contracts, the recurrence, arrays, trees, objects.

Nothing here knows what a return, a value or a policy is.
"""
