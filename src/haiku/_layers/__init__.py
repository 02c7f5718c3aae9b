"""The layers: modules with a forward pass of their own.

Each file holds one idea; what several share (where channels are, scale and offset,
the gates of an LSTM) stands in one place and the layers are signatures over it. A
layer asks the core for parameters, state and keys, and knows nothing of how they are
kept. No network of several layers belongs here (`haiku.nets`), no training, no data.
"""
