"""Records: frozen dataclasses that are mappings and pytrees."""

import copy

import jax
import pytest

import rlax

MOMENTS = rlax.EmaMoments(mean=1.0, variance=2.0)


def test_record_is_a_mapping():
    assert dict(MOMENTS) == {"mean": 1.0, "variance": 2.0}
    assert dict(**MOMENTS) == dict(MOMENTS)
    assert (MOMENTS["mean"], len(MOMENTS)) == (1.0, 2)
    with pytest.raises(KeyError):
        MOMENTS["sum"]


def test_record_is_made_of_keywords_a_mapping_or_a_tuple():
    assert MOMENTS.to_tuple() == (1.0, 2.0)
    assert rlax.EmaMoments({"mean": 1.0}, variance=2.0) == MOMENTS
    assert rlax.EmaMoments.from_tuple((1.0, 2.0)) == MOMENTS
    with pytest.raises(TypeError, match="variance"):
        rlax.EmaMoments(mean=1.0)


def test_record_is_a_frozen_dataclass():
    assert MOMENTS.replace(mean=3.0).mean == 3.0
    assert copy.deepcopy(MOMENTS) == MOMENTS
    assert hash(MOMENTS) == hash(copy.copy(MOMENTS))
    assert repr(MOMENTS) == "EmaMoments(mean=1.0, variance=2.0)"
    with pytest.raises(AttributeError):
        MOMENTS.mean = 2.0


def test_record_is_a_pytree():
    paths = [
        path[0].name for path, _ in jax.tree_util.tree_flatten_with_path(MOMENTS)[0]
    ]
    assert paths == ["mean", "variance"]
    doubled = jax.jit(lambda m: jax.tree.map(lambda x: 2 * x, m))(MOMENTS)
    assert isinstance(doubled, rlax.EmaMoments)
    assert doubled.variance == 4.0
