"""Short text for dtypes, arrays and amounts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from haiku import _text


@pytest.mark.parametrize(
    "dtype, text",
    [
        (np.float32, "f32"),
        (np.float16, "f16"),
        (jnp.bfloat16, "bf16"),
        (np.int8, "s8"),
        (np.uint32, "u32"),
        (np.complex64, "c64"),
        (np.bool_, "pred"),
        (jnp.float8_e4m3fn, "f8_e4m3fn"),
        (np.dtype("<U3"), "str96"),
        (np.dtype(object), "object"),
        (jax.random.key(0).dtype, "key<fry>"),
    ],
)
def test_dtypes_are_shortened(dtype, text):
    assert _text.dtype_text(dtype) == text


def test_arrays_show_dtype_and_shape():
    assert _text.array_text(np.ones([], np.float32)) == "f32[]"
    assert _text.array_text(np.ones([1, 2], np.int8)) == "s8[1,2]"


@pytest.mark.parametrize(
    "count, text",
    [
        (0, "0.00 B"),
        (999, "999.00 B"),
        (1000, "1.00 KB"),
        (1235, "1.24 KB"),
        (2e6, "2.00 MB"),
        (3e9, "3.00 GB"),
        (4e12, "4.00 TB"),
        (5e20, "500000000.00 TB"),
    ],
)
def test_bytes_get_a_decimal_unit(count, text):
    assert _text.bytes_text(count) == text


@pytest.mark.parametrize(
    "count, text, with_unit",
    [
        (0, "0", "0 flops"),
        (1000, "1000", "1000 flops"),
        (1235, "1.235 k", "1.235 kflops"),
        (2_500_000, "2.5 M", "2.5 Mflops"),
        (10**19, "1e+04 P", "1e+04 Pflops"),
    ],
)
def test_counts_get_a_decimal_prefix(count, text, with_unit):
    assert _text.count_text(count) == text
    assert _text.count_text(count, "flops") == with_unit


def test_a_title_names_the_kind_if_there_is_one():
    assert _text.titled("net", "MLP") == "net (MLP)"
    assert _text.titled("net", "") == _text.titled("net", None) == "net"
