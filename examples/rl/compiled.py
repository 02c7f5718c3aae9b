"""The loop of `off_policy.py` in one compiled program: environments, memory, updates.

The environments are games in JAX. A round acts for `--every` steps, then learns from
`--updates` batches; the host starts as many rounds at once as lie between two
evaluations. Nothing else differs from `off_policy.learn`.
"""

import functools

import cartpole
import games
import jax
import jax.numpy as jnp
import minatar
import numpy as np
import off_policy
import pendulum
import replay

# Games in JAX by name, for agents that choose one of some actions, and for others.
DISCRETE = {cartpole.GAME.name: lambda: cartpole.GAME}
DISCRETE |= {name: functools.partial(minatar.game, name) for name in minatar.GAMES}
CONTINUOUS = {pendulum.GAME.name: lambda: pendulum.GAME}


def game_of(name: str, known=DISCRETE | CONTINUOUS) -> games.Game:
    """The game of this name, one of these."""
    if name not in known:
        raise ValueError(
            f"In one program this plays {', '.join(known)}, not {name!r}: where "
            "--compiled is an option leave it out, or write the game in JAX (games.py) "
            "and name it in compiled.py."
        )
    return known[name]()


def random_actions(space, key, count: int):
    """Actions drawn uniformly, [count, ...]."""
    if hasattr(space, "n"):
        return jax.random.randint(key, [count], 0, space.n)
    return jax.random.uniform(
        key, [count, *space.shape], space.dtype, space.low, space.high
    )


def learn(game: games.Game, agent: off_policy.Agent, options, seed: int, report):
    """Trains with one seed; returns what it learned."""
    if options.every % options.environments:
        raise ValueError(
            f"--every {options.every} must be a multiple of --environments "
            f"{options.environments}."
        )
    count, space = options.environments, game.action_space
    key, init_key, start_key = jax.random.split(jax.random.key(seed), 3)
    states = jax.vmap(game.start)(jax.random.split(start_key, count))
    observations = jax.vmap(game.observe)(states)
    actions = random_actions(space, key, count)
    state = jax.jit(agent.init)(init_key, observations, actions)
    memory = off_policy.empty(agent, observations[0], actions[0], options)
    training = state, memory, states
    (state, memory, states), first = report.resume(training)
    learn_from = off_policy.learner(agent, options)

    def act(learning, carry, step):
        state, memory, states = carry
        act_key, play_key = jax.random.split(jax.random.fold_in(key, 2 * step))
        observations = jax.vmap(game.observe)(states)
        share = step / options.steps
        if learning:
            actions = agent.explore(state, act_key, observations, share)
        else:
            actions = random_actions(space, act_key, count)
        states, played = jax.vmap(functools.partial(games.play, game))(
            states, actions, jax.random.split(play_key, count)
        )
        discount_t = options.discount * ~played.ended_t
        over_t = played.ended_t | played.cut_t
        taken = off_policy.Step(
            played.s_tm1, actions, played.r_t, discount_t, over_t, played.s_t
        )
        return (state, replay.add(memory, taken), states), (played.r_t, over_t)

    def round_(learning, carry, first):
        steps = first + jnp.arange(0, options.every, count)
        (state, memory, states), played = jax.lax.scan(
            functools.partial(act, learning), carry, steps
        )
        if learning:
            round_key = jax.random.fold_in(key, 2 * first + 1)
            share = first / options.steps
            state, memory = learn_from(state, memory, round_key, share)
        return (state, memory, states), played

    @functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
    def rounds(learning, memory, state, states, firsts):
        carry = state, memory, states
        return jax.lax.scan(functools.partial(round_, learning), carry, firsts)

    # Warm-up in one piece, the rest in pieces of one length, since each is compiled.
    every = options.every
    warm = -(-options.warm_up // every)
    rest = max(0, options.steps // every - warm)
    most = max(1, options.steps // options.evaluations // every)
    piece = max(i for i in range(1, most + 1) if rest % i == 0)
    while first < options.steps // every * every:
        report(first, agent.learned(state), (state, memory, states))
        learning = first >= warm * every
        firsts = first + every * jnp.arange(piece if learning else warm)
        (state, memory, states), played = rounds(
            learning, memory, state, states, firsts
        )
        for row in zip(*(np.asarray(x).reshape(-1, count) for x in played)):
            report.played(*row)
        first += len(firsts) * every
    return agent.learned(state)


def train(agent: off_policy.Agent, options, seed: int, report, **others):
    """Trains in one program with --compiled, else by `off_policy.learn`."""
    if options.compiled:
        game = game_of(options.environment)
        return learn(game, agent, options, seed, report)
    return off_policy.learn(agent, options, seed, report, **others)
