"""`hk.surgery.paths`, `select`, `split` and `merge`."""

from hypothesis import given, settings
from hypothesis import strategies as st

import haiku as hk
from haiku._trees.patterns import Pattern

sg = hk.surgery


NAMES = st.sampled_from(["a", "b", "enc", "dec", "linear", "linear_1", "~"])


PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


TREES = st.dictionaries(
    PATHS,
    st.dictionaries(st.sampled_from("wbg"), st.integers(0, 99), min_size=1),
    min_size=1,
)


@given(TREES, st.sampled_from(["**/w", "a/**", "*/*", "**"]))
@settings(max_examples=60, deadline=None)
def test_merge_undoes_split(tree, pattern):
    try:
        chosen, rest = sg.split(tree, pattern)
    except ValueError:
        assert not any(Pattern(pattern).match(p) for p in sg.paths(tree))
        return
    assert sg.merge(chosen, rest) == tree
    assert sg.select(tree, pattern) == chosen
    assert sg.paths(tree, pattern) == sg.paths(chosen)
