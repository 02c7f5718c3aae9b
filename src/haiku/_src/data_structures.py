"""The immutable mapping of old pickles, under the path that they name it by."""

from haiku._flat_map import FlatMap, restored

__all__ = ["FlatMap", "FlatMapping"]

FlatMapping = restored
