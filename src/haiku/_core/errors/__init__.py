"""Where an error of Haiku sends its reader: a page of the documentation, or `help`.

What went wrong is said where it is found out.
"""
