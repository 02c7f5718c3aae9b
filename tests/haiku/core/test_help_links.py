"""Errors end with where to read more: a page that explains them, or `help`."""

import pathlib
import pydoc

import jax
import jax.numpy as jnp
import pytest

import haiku as hk
import rlax

DOCS = pathlib.Path(__file__).parents[3] / "docs"
X = jnp.ones([2, 6])


class Own(hk.LSTM):
    pass


def counter(x):
    hk.set_state("count", x.sum())
    return x


def run(f, rng=0):
    return lambda: hk.transform(f).init(rng, X)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: hk.Linear(3), "start/how_transform_works"),
        (lambda: hk.next_rng_key(), "start/how_transform_works"),
        (run(lambda x: hk.next_rng_key(), None), "start/randomness"),
        (run(lambda x: jax.lax.map(hk.Linear(3), x)), "guide/transformations"),
        (run(counter), "start/parameters_and_state"),
        (lambda: hk.bind(counter).init(0, X)(X), "guide/models"),
        (run(lambda x: hk.Linear(3)(x[0, 0])), "haiku.Linear"),
        (run(lambda x: hk.Conv2D(3, 3)(x[0])), "haiku.Conv2D"),
        (run(lambda x: Own(3)(x, None)), "haiku.LSTM"),
        (run(lambda x: hk.nets.MLP([3], dropout_rate=2)(x)), "haiku.nets.MLP"),
        (run(lambda x: hk.get_state("count")), "haiku.get_state"),
        (run(lambda x: hk.pad.create(3, 1, 1, 2)), "haiku.pad.create_from_padfn"),
        (run(lambda x: hk.one_hot(x, 0.5)), None),
        (run(lambda x: 1 / 0), None),
        (run(lambda x: jnp.dot(x, x)), None),
        (lambda: rlax.l2_loss("loss"), "rlax.l2_loss"),
        (lambda: rlax.td_learning(1.0, 1.0, 2.0, 1.0), "rlax.td_learning"),
        (lambda: rlax.softmax(0.0), "rlax.softmax"),
    ],
)
def test_last_line(call, where):
    with pytest.raises(Exception) as raised:
        call()
    notes = [x for x in getattr(raised.value, "__notes__", ()) if x.startswith("See ")]
    if where is None:
        assert not notes
    elif "/" in where:
        assert notes == [f"See docs/{where}.md in Renga's repository."]
        assert (DOCS / f"{where}.md").exists()
    else:
        assert notes == [f'See help("{where}").']
        assert pydoc.locate(where) is not None
        names = "\n".join(p.read_text() for p in DOCS.glob("reference/*/*.md"))
        assert f"\n{where}\n" in names


def test_what_was_made_when_an_initializer_failed():
    with pytest.raises(TypeError) as raised:
        hk.transform(lambda x: hk.Linear([3])(x)).init(0, X)
    assert "while linear/w was made, of shape [6, [3]]" in raised.value.__notes__


def test_only_one_last_line_where_runs_are_nested():
    def outer(x):
        inner = hk.transform(lambda x: hk.Linear(3)(x[0, 0]))
        return hk.lift(inner.init)(hk.next_rng_key(), x)

    with pytest.raises(ValueError, match="scalar") as raised:
        hk.transform(outer).init(0, X)
    assert raised.value.__notes__ == ['See help("haiku.Linear").']
