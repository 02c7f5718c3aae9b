"""Where old pickles look for `LSTMState`."""

from haiku._layers.cores import LSTMState as LSTMState
