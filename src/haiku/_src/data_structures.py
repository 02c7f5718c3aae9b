"""The immutable mapping of old pickles, under the path that they name it by."""

from haiku.data_structures import FlatMap, restored

__all__ = ["FlatMap", "FlatMapping"]

FlatMapping = restored
