"""`load` with adaptations: the model that `hk.adapt.add` makes, in less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn_model

import haiku as hk
from haiku.adapt import Frozen, Int4, Int8, LoRA
from haiku.pretrained import quantised_sources

TEXT = jax.ShapeDtypeStruct((1, 1), jnp.int32)
SIZES = {"vocab_size": 24, "model_size": 16, "num_layers": 3, "num_heads": 2}


def folder_of(tmp_path, dtype=jnp.float32, **options):
    config = hk.nets.DecoderConfig(**SIZES, **options)
    model = drawn_model(hk.nets.Decoder, config, TEXT)
    params = jax.tree.map(lambda x: x.astype(dtype), model.params)
    hk.pretrained.save(tmp_path / "model", model.replace(params=params))
    return tmp_path / "model"


EXPERTS = hk.nets.ExpertsConfig(num_experts=4, num_selected=2, hidden_size=16)
CHOICES = {
    "int4": ([Int4("**/w")], {}),
    "int8 and int4": ([Int8("**/attention/*/w"), Int4("**/mlp/*/w", group_size=8)], {}),
    "odd groups": ([Int4("**/w", group_size=5)], {"hidden_size": 7, "tied": True}),
    "experts": ([Int4("**/blocks/**/w", group_size=8)], {"experts": EXPERTS}),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("adaptations", "options"), CHOICES.values(), ids=CHOICES)
def test_it_is_the_model_that_add_makes(adaptations, options, dtype, tmp_path):
    folder = folder_of(tmp_path, dtype, **options)
    found = hk.pretrained.load(folder, adaptations=adaptations).model
    plain = hk.pretrained.load(folder).model
    want = hk.adapt.add(plain, *adaptations)
    assert jax.tree.structure(found) == jax.tree.structure(want)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(want)):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x.astype(jnp.float32), y.astype(jnp.float32))
    assert hk.adapt.adaptations(found) == tuple(adaptations)
    tokens = np.arange(6)[None]
    np.testing.assert_array_equal(found(tokens), want(tokens))


def test_another_dtype_and_a_sharding(tmp_path):
    folder = folder_of(tmp_path)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("x",))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    paths = []

    def sharding(path, shape):
        paths.append((path, shape))
        return whole

    options = {"dtype": jnp.bfloat16, "sharding": sharding}
    model = hk.pretrained.load(folder, adaptations=[Int8("**/w")], **options).model
    assert all(x.sharding == whole for x in jax.tree.leaves(model.params))
    assert ("decoder/blocks/mlp/up/w_scale", (3, 64)) in paths
    assert model.params["decoder/blocks/mlp/up"]["w_scale"].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("adaptations", "message"),
    [
        ([LoRA("**/w", 2)], "must be hk.adapt.Int8 or Int4, got LoRA"),
        ([Frozen("**")], "others are for hk.adapt.add"),
        ([Int4("**/x")], "finds no path. The nearest paths are"),
        ([Int4("**")], "that isn't a matrix"),
        ([Int4("**/w"), Int8("**/up/w")], "would be quantised twice"),
    ],
)
def test_bad_adaptations(adaptations, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        hk.pretrained.load(folder_of(tmp_path), adaptations=adaptations)


def test_infinite_weights(tmp_path):
    folder = folder_of(tmp_path)
    model = hk.pretrained.load(folder).model
    params = {path: dict(named) for path, named in model.params.items()}
    up = params["decoder/blocks/mlp/up"]
    up["w"] = up["w"].at[1, 0, 0].set(jnp.inf)
    hk.pretrained.save(folder, model.replace(params=params))
    with pytest.raises(ValueError, match="holds infinite numbers or NaN"):
        hk.pretrained.load(folder, adaptations=[Int4("**/w")])


@pytest.mark.parametrize("shape", [(4, 6), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [jnp.int4, jnp.int8, jnp.bfloat16])
def test_arrays_are_held_as_their_numbers(shape, dtype):
    x = jnp.asarray(np.random.default_rng(0).integers(-7, 8, shape), dtype)
    stored = quantised_sources._stored(x)
    packed = dtype == jnp.int4 and x.size % 2 == 0
    assert stored.size * (2 if packed else 1) == x.size
    again = quantised_sources._array(stored, shape, x.dtype)
    assert again.dtype == x.dtype
    np.testing.assert_array_equal(again.astype(jnp.float32), x.astype(jnp.float32))
