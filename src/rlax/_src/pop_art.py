"""Old path of PopArtState, named by pickles."""

from rlax._learning.popart import PopArtState as PopArtState
