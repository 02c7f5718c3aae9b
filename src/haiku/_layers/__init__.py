"""The layers: modules with a forward pass of their own.

Each file holds one idea. Code that several layers share (the channel axis, scale and
offset, LSTM gates) lives in one place, and the layers add their signatures. A layer
gets parameters, state and keys from the core and doesn't know how they are stored.
Networks of several layers belong in `haiku.nets`; training and data aren't here either.
"""
