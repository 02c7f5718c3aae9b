"""mctx's improved policy of a search with Gumbel noise."""

import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
from recorder import JaxRecorder

OPTIONS = [
    {},
    {"rescale": False},
    {"mixed_value": False},
    {"value_scale": 0.5, "visit_offset": 3.0},
]
VISITS = [[3, 0, 1, 0, 7], [1, 2, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 9, 0, 0]]


def improved_policy(
    prior_logits,
    q_t,
    visits,
    v_t,
    *,
    value_scale=0.1,
    visit_offset=50.0,
    rescale=True,
    mixed_value=True,
):
    """The policy of a root that has these visits and values."""
    zeros, none = jnp.zeros_like(q_t), jnp.zeros(1, jnp.int32)
    tree = mctx.Tree(
        node_visits=none,
        raw_values=v_t[None],
        node_values=v_t[None],
        parents=none,
        action_from_parent=none,
        children_index=jnp.zeros((1, q_t.size), jnp.int32),
        children_prior_logits=prior_logits[None],
        children_visits=jnp.asarray(visits, jnp.int32)[None],
        children_rewards=zeros[None],
        children_discounts=zeros[None] + 1,
        children_values=q_t[None],
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


def main():
    recorder = JaxRecorder("mctx", "mctx")
    random = np.random.default_rng(0)
    for options in OPTIONS:
        for visits in VISITS:
            logits, q = random.standard_normal((2, 5))
            arguments = {"prior_logits": logits, "q_t": q, "visits": visits, "v_t": 0.3}
            # Without visits all values are equal, and the gradient of their range is
            # rounding.
            reached = ["prior_logits", "q_t", "v_t"] if any(visits) else None
            recorder.case(
                "gumbel_improved_policy",
                "qtransform_completed_by_mix_value",
                functools.partial(improved_policy, **options),
                arguments,
                options,
                reached,
            )
    recorder.write()


if __name__ == "__main__":
    main()
