"""Layouts of convolutions."""

import pytest

import haiku as hk


@pytest.mark.parametrize(
    ("data_format", "index"),
    [
        ("channels_first", 1),
        ("channels_last", -1),
        ("NC", 1),
        ("NCHW", 1),
        ("NCDHW", 1),
        ("NHWC", -1),
        ("NWC", -1),
        ("BTD", -1),
        ("TBD", -1),
        ("BTHWD", -1),
    ],
)
def test_data_formats_name_the_channel_axis(data_format, index):
    assert hk.get_channel_index(data_format) == index


@pytest.mark.parametrize("data_format", ["foo", "NCHC", "BTDTD", "NHW", "HWC", "nhwc"])
def test_an_unknown_data_format_raises(data_format):
    with pytest.raises(ValueError, match=f"'{data_format}'.*channels_first"):
        hk.get_channel_index(data_format)


def test_a_data_format_must_be_a_string():
    with pytest.raises(TypeError, match="None"):
        hk.get_channel_index(None)
