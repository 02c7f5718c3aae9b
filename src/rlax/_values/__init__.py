"""What to learn: TD errors and losses for state and action values.

Three questions span them: which next value (`next_value`), which representation
(scalar, categorical, quantile, squashed), and how far to look (one step, or a return).
Each answer is written once. No policy is learned here.
"""
