"""The layers: modules with a forward pass.

Each file holds one idea. Code that several layers share (the channel axis, scale and
offset, LSTM gates) lives in one place, and the layers add their signatures. A layer
gets parameters, state and keys from the core and doesn't know how they are stored.
Networks of several layers belong in `haiku.nets`. Nothing here trains or loads data.
"""
