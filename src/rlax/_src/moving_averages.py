"""Old path of the moving averages' states, named by pickles."""

from rlax._learning.moving_averages import EmaMoments as EmaMoments
from rlax._learning.moving_averages import EmaState as EmaState
