"""Padding functions, and paddings per axis."""

import pytest

import haiku as hk

WINDOW = 4  # even, so `same` has to choose a side


@pytest.mark.parametrize(
    ("padding", "zeros"),
    [
        (hk.pad.valid, (0, 0)),
        (hk.pad.same, (1, 2)),
        (hk.pad.full, (3, 3)),
        (hk.pad.causal, (3, 0)),
        (hk.pad.reverse_causal, (0, 3)),
    ],
)
def test_padding_functions_count_zeros_before_and_after(padding, zeros):
    assert padding(WINDOW) == zeros
    assert hk.pad.create(padding, kernel=WINDOW, rate=1, n=2) == (zeros, zeros)


def test_rate_widens_the_window():
    assert hk.pad.create_from_padfn(hk.pad.full, 3, 2, 1) == ((4, 4),)
    assert hk.pad.create_from_padfn(hk.pad.full, (3, 2), (2, 5), 2) == ((4, 4), (5, 5))


def test_each_axis_may_have_its_own_function():
    functions = (hk.pad.causal, hk.pad.full)
    assert hk.pad.create_from_padfn(functions, 3, 1, 2) == ((2, 0), (2, 2))


def test_pairs_of_numbers_apply_to_one_or_all_axes():
    assert hk.pad.create_from_tuple((1, 2), 3) == ((1, 2),) * 3
    assert hk.pad.create_from_tuple([(1, 2)], 2) == ((1, 2), (1, 2))
    assert hk.pad.create([(1, 2), (3, 4)], 3, 1, 2) == ((1, 2), (3, 4))


@pytest.mark.parametrize(
    ("padding", "is_function"),
    [
        (hk.pad.same, True),
        ((hk.pad.same, hk.pad.valid), True),
        ((1, 2), False),
        ([(1, 2)], False),
        ("SAME", False),
        ((), False),
        (3, False),
    ],
)
def test_is_padfn_recognises_functions(padding, is_function):
    assert hk.pad.is_padfn(padding) is is_function


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hk.pad.create(0, 3, 1, 2), "got 0"),
        (lambda: hk.pad.create((), 3, 1, 2), "sequence of length 2"),
        (lambda: hk.pad.create_from_padfn((hk.pad.same, 1), 3, 1, 2), "function"),
        (lambda: hk.pad.create_from_padfn(hk.pad.same, (3, 3, 3), 1, 2), "kernel must"),
        (lambda: hk.pad.create_from_padfn(hk.pad.same, 3, (1, 1, 1), 2), "rate must"),
        (lambda: hk.pad.create_from_tuple([(1, 2), (3, 4)], 3), "3 spatial.*got 2"),
        (lambda: hk.pad.create_from_tuple(hk.pad.same, 3), "pair"),
        (lambda: hk.pad.create_from_tuple([(1, 2, 3)], 1), r"got \(1, 2, 3\)"),
        (lambda: hk.pad.create_from_tuple("SAME", 1), "SAME"),
    ],
)
def test_wrong_paddings_raise(call, message):
    with pytest.raises(TypeError, match=message):
        call()
