"""TD errors and losses of state and action values.

Each combines three choices: the next value (`next_value`), the representation (scalar,
categorical, quantile, squashed) and the horizon (one step, or a return). Each choice is
written once. Policies are learned elsewhere, in `_policies`.
"""
