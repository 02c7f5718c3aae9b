"""One run of a transformed function: its values, its keys and the module path.

A run only holds values; `variables` makes and reads them.
"""
