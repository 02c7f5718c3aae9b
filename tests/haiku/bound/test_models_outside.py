"""Programs from users' threads: modules outside of `hk.transform`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import haiku as hk

STATES = jnp.linspace(-1.0, 1.0, 40).reshape(10, 4)
TORSO = hk.Blueprint(hk.nets.MLP, [16])
ACTIONS = jnp.arange(10) % 3


def test_a_class_that_owns_its_networks():
    """#16: an agent makes its networks in its constructor and uses them in methods."""

    class ActorCritic:
        def __init__(self, num_actions, torso=TORSO):
            self.torso = torso
            self.policy = hk.Blueprint(hk.Linear, num_actions, name="policy")
            self.value = hk.Blueprint(hk.Linear, 1, name="value")
            self.optimizer = optax.sgd(0.1)
            self._net = hk.without_apply_rng(hk.transform(self.heads))

        def heads(self, states):
            features = jax.nn.relu(self.torso(states))
            return self.policy(features), self.value(features)[..., 0]

        def init(self, key, states):
            params = self._net.init(key, states)
            return params, self.optimizer.init(params)

        def loss(self, params, states, actions, returns):
            logits, values = self._net.apply(params, states)
            advantage = jax.lax.stop_gradient(returns - values)
            chosen = jnp.take_along_axis(
                jax.nn.log_softmax(logits), actions[:, None], axis=-1
            )[:, 0]
            return jnp.mean((returns - values) ** 2 - advantage * chosen)

        def update(self, params, memory, *batch):
            grads = jax.grad(self.loss)(params, *batch)
            updates, memory = self.optimizer.update(grads, memory)
            return optax.apply_updates(params, updates), memory

    agent, other = ActorCritic(3), ActorCritic(2)
    batch = STATES, ACTIONS, jnp.ones(10)
    params, memory = agent.init(0, STATES)
    assert set(params) == {"mlp/~/linear_0", "policy", "value"}
    update = jax.jit(agent.update)
    before = agent.loss(params, *batch)
    for _ in range(10):
        params, memory = update(params, memory, *batch)
    assert agent.loss(params, *batch) < before
    # The default argument is one object, and each run builds it anew.
    assert other.init(0, STATES)[0]["policy"]["w"].shape == (16, 2)


def test_an_object_that_carries_its_parameters():
    """#50: a model object with parameters inside, trained and called as one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3)).astype(np.float32)
    y = np.stack([x[:, 0] * x[:, 1], np.sin(x[:, 2])], axis=1)

    class Regression(hk.Module):
        """Dropout, batch norm and a second method that only gives features."""

        def features(self, x, is_training):
            x = hk.BatchNorm(True, True, 0.9)(hk.Linear(32)(x), is_training)
            if is_training:
                x = hk.dropout(hk.next_rng_key(), 0.05, x)
            return jax.nn.relu(x)

        def __call__(self, x, is_training):
            return hk.Linear(2)(self.features(x, is_training))

    model = hk.bind(Regression).init(0, x, is_training=True)
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(model, memory, key):
        def loss(params):
            out, new = model.replace(params=params).updating(x, True, rng_key=key)
            return jnp.mean((out - y) ** 2), new.state

        grads, state = jax.grad(loss, has_aux=True)(model.params)
        updates, memory = optimizer.update(grads, memory)
        params = optax.apply_updates(model.params, updates)
        return model.replace(params=params, state=state), memory

    memory = optimizer.init(model.params)
    before = jnp.mean((model(x, is_training=False) - y) ** 2)
    for key in jax.random.split(jax.random.PRNGKey(1), 60):
        model, memory = step(model, memory, key)
    after = jnp.mean((model(x, is_training=False) - y) ** 2)
    assert after < 0.5 * before
    assert model.features(x, is_training=False).shape == (64, 32)
    # Back to the pair of functions, and from it.
    pair = hk.transform_with_state(hk.Blueprint(Regression))
    out, _ = pair.apply(model.params, model.state, None, x, False)
    np.testing.assert_allclose(out, model(x, is_training=False), rtol=1e-5)
    again = hk.bind(pair).to(model.params, model.state)
    np.testing.assert_allclose(again.updating(x, False)[0], out, rtol=1e-5)


def test_modules_that_are_configured_elsewhere():
    """#69: layers are chosen and configured outside, and handed to what uses them."""

    @dataclasses.dataclass(frozen=True)
    class Config:
        width: int = 8
        depth: int = 2
        norm: hk.Blueprint | None = None
        activation: Callable[[Any], Any] = jax.nn.relu

        def build(self):
            layers = []
            for _ in range(self.depth):
                layers += [hk.Blueprint(hk.Linear, self.width), self.activation]
                # A copy for each place: one object would be one module.
                layers += [self.norm.replace()] if self.norm is not None else []
            return hk.Blueprint(hk.Sequential, layers)

    class Residual(hk.Module):
        def __init__(self, inside: Callable[..., Any], name=None):
            super().__init__(name=name)
            self.inside = inside

        def __call__(self, x):
            return x + self.inside(x)

    plain = Config(width=4).build()
    normed = Config(width=4, norm=hk.Blueprint(hk.LayerNorm, -1, True, True)).build()
    assert plain != normed and plain == Config(width=4).build()
    count = lambda net: hk.module_tree(net)(STATES)  # noqa: E731
    assert count(plain).param_count == 40
    assert count(normed).param_count == 56
    # A blueprint, a module and a function go into the same module.
    net = hk.bind(hk.Blueprint(Residual, normed)).init(0, STATES)
    assert net(STATES).shape == net.inside(STATES).shape == STATES.shape

    def by_hand(x):
        made = [Residual(normed), Residual(hk.Linear(4)), Residual(jnp.tanh)]
        return hk.Sequential(made)(x)

    params = hk.transform(by_hand).init(0, STATES)
    assert set(params) == {
        "residual/linear",
        "residual/layer_norm",
        "residual/linear_1",
        "residual/layer_norm_1",
        "linear",
    }
