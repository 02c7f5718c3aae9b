"""Where old pickles look for `LSTMState`."""

from haiku._layers.rnn_cells import LSTMState as LSTMState
