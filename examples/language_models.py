"""A GPT, a Mamba and a mixture of experts learn the same text for as long.

    python examples/language_models.py                     # all three
    python examples/language_models.py --nets gpt mamba    # these

The text, the batches and the optimizer are those of `gpt.py`, and the three nets have
about as many parameters; each letter uses two of eight experts, half of that net. A
table has the loss on held-out text, and minutes.
Sources: Dao and Gu, 2024, Transformers are SSMs, arXiv:2405.21060; Fedus et al., 2021,
Switch Transformers, arXiv:2101.03961, whose loss keeps the experts equally busy.
"""

import dataclasses
import json
import pathlib

import gpt
import jax
import jax.numpy as jnp

import haiku as hk


def gpt_of(letters: int, arguments):
    """The net of `gpt.py`."""
    config = gpt.config_of(letters, arguments)
    return gpt.start(hk.nets.Decoder, config, arguments.seed)


def experts_of(letters: int, arguments):
    """The same with eight small experts in place of each MLP."""
    experts = hk.nets.ExpertsConfig(8, 2, arguments.width // 2)
    config = gpt.config_of(letters, arguments)
    config = dataclasses.replace(config, experts=experts, hidden_size=None)
    return gpt.start(hk.nets.Decoder, config, arguments.seed)


def mamba_of(letters: int, arguments):
    """A Mamba of version 2, whose layers are smaller, with its own initial values.

    Version 1 with as many takes several times as long on a CPU. The embeddings are the
    head's too, and begin as small as those of a GPT.
    """
    config = hk.nets.MambaConfig(
        vocab_size=letters,
        model_size=arguments.width,
        num_layers=max(1, arguments.layers * 7 // 4),
        version=2,
        state_size=arguments.width // 2,
        head_size=arguments.width // 2,
    )
    model = hk.bind(hk.nets.Mamba, config)
    model = model.init(arguments.seed, jnp.ones([1, 1], jnp.int32))
    factors = hk.surgery.labels(model.params, {"**/embeddings": 0.02}, default=1.0)
    return model.replace(params=jax.tree.map(jnp.multiply, model.params, factors))


NETS = {"gpt": gpt_of, "mamba": mamba_of, "experts": experts_of}


def active(model) -> int:
    """How many parameters a letter uses."""
    options = getattr(model.net.arguments["config"], "experts", None)
    size = hk.data_structures.tree_size(model.params)
    if options is None:
        return size
    stacks = hk.surgery.select(model.params, "**/experts/*")
    idle = 1 - options.num_selected / options.num_experts
    return size - round(idle * hk.data_structures.tree_size(stacks))


def main(argv=None):
    parser = gpt.parser_of(__doc__)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args(argv)
    letters, text, held_out = gpt.split_text()
    curves, rows = {}, []
    for name in arguments.nets:
        model = NETS[name](len(letters), arguments)
        sizes = hk.data_structures.tree_size(model.params), active(model)
        _, curve, minutes = gpt.train(
            model, text, held_out, arguments, arguments.seed, name
        )
        curves[name] = [curve]
        rows.append((name, *sizes, curve[1][-1], minutes))
        jax.clear_caches()
    print("net      parameters    active  held-out loss  minutes")
    for name, size, used, loss, minutes in rows:
        print(f"{name:8} {size:10,}  {used:8,}  {loss:13.4f}  {minutes:7.1f}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "language_models_curves.json"
    file.write_text(json.dumps(curves))
    gpt.draw(arguments.out / "language_models.png", curves)
    return rows


if __name__ == "__main__":
    main()
