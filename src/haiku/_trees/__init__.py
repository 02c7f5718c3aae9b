"""What a path is, which paths a pattern finds, and rules by path with their precedence.

Precision, surgery and replaced parameters stand on this. Nothing here knows of modules
or runs one.
"""
