"""Old pickles look for `LSTMState` here."""

from haiku._layers.rnn_cells import LSTMState as LSTMState
