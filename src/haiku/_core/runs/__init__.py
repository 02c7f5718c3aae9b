"""One run of a transformed function: what it holds, the module path, its keys.

A run holds values; how they are made and read is said in `variables`.
"""
