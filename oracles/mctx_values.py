"""What mctx computes, for the tests of ops that mctx has too.

    python oracles/mctx_values.py    # where mctx is installed

Writes `tests/rlax/oracle_values/gumbel_improved_policy.json`: arguments, the policy,
and the gradients of its first probability.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import mctx
import numpy as np

VALUES = pathlib.Path(__file__).parents[1] / "tests/rlax/oracle_values"
OPTIONS = [
    {},
    {"rescale": False},
    {"mixed_value": False},
    {"value_scale": 0.5, "visit_offset": 3.0},
]
VISITS = [[3, 0, 1, 0, 7], [1, 2, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 9, 0, 0]]


def improved_policy(
    prior_logits,
    q,
    v,
    *,
    visits,
    value_scale=0.1,
    visit_offset=50.0,
    rescale=True,
    mixed_value=True,
):
    """The policy of a root that has these visits and values."""
    zeros, none = jnp.zeros_like(q), jnp.zeros(1, jnp.int32)
    tree = mctx.Tree(
        node_visits=none,
        raw_values=v[None],
        node_values=v[None],
        parents=none,
        action_from_parent=none,
        children_index=jnp.zeros((1, q.size), jnp.int32),
        children_prior_logits=prior_logits[None],
        children_visits=jnp.asarray(visits, jnp.int32)[None],
        children_rewards=zeros[None],
        children_discounts=zeros[None] + 1,
        children_values=q[None],
        embeddings=None,
        root_invalid_actions=zeros,
        extra_data=None,
    )
    completed = mctx.qtransform_completed_by_mix_value(
        *(tree, 0),
        value_scale=value_scale,
        maxvisit_init=visit_offset,
        rescale_values=rescale,
        use_mixed_value=mixed_value,
    )
    return jax.nn.softmax(prior_logits + completed)


def plain(x):
    """Lists of numbers with the digits that single precision has."""
    return [float(f"{n:.7g}") for n in np.asarray(x).ravel()]


def main():
    random, cases = np.random.default_rng(0), []
    for options in OPTIONS:
        for visits in VISITS:
            logits, q = random.standard_normal((2, 5)).round(3).astype(np.float32)
            v = np.float32(random.standard_normal().__round__(3))

            def policy(logits, q, v, visits=visits, options=options):
                return improved_policy(logits, q, v, visits=visits, **options)

            x = [jnp.asarray(a) for a in (logits, q, v)]
            first = jax.grad(lambda *x, f=policy: f(*x)[0], (0, 1, 2))(*x)
            cases.append(
                {
                    "prior_logits": plain(logits),
                    "q_t": plain(q),
                    "visits": visits,
                    "v_t": plain(v)[0],
                    "options": options,
                    "policy": plain(policy(*x)),
                    "gradients": [plain(gradient) for gradient in first],
                }
            )
    path = VALUES / "gumbel_improved_policy.json"
    path.parent.mkdir(exist_ok=True)
    rows = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f"[\n{rows}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
