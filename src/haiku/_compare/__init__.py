"""`python -m haiku compare A B`: what differs between two checkpoints, in words.

Reading a file is apart from comparing: `haiku.surgery.diff` compares. No file is
written, and no code that a file brings is run unless it is asked for.
"""
