"""Group relative policy optimisation (GRPO) of a small language model that adds.

    python examples/rl/grpo.py

A decoder of two layers first learns sums of two numbers below a hundred from examples,
until it answers some share of them rightly. Then it learns from rewards alone: it draws
a group of answers to each question, and each answer's advantage is its reward, 1 or 0,
less the group's mean and over its deviation, so that no value function is needed. The
clipped ratio of PPO bounds each round of updates, and a penalty for the KL divergence
from the model of the examples keeps the text what it was. The first point of the curve
is the accuracy on held-out questions before learning from rewards, the last one that
after it; answers are then greedy. A step is one answer.
Source: Shao et al., 2024, DeepSeekMath: Pushing the Limits of Mathematical Reasoning in
Open Language Models, arXiv:2402.03300.
"""

import functools

import experiment
import jax
import jax.numpy as jnp
import optax
import sums

import haiku as hk
import rlax

parser = experiment.parser(
    __doc__,
    environment="Sums",
    steps=102_400,
    episodes=500,
    evaluations=10,
)
add = parser.add_argument
add("--questions", type=int, default=64, help="of a round; %(default)s")
add("--group", type=int, default=8, help="answers to each; %(default)s")
add("--epochs", type=int, default=2, help="updates of a round; %(default)s")
add("--rounds", type=int, default=10, help="in one compiled call; %(default)s")
add("--accuracy", type=float, default=0.3, help="of drawn answers, by examples alone")
add("--learning-rate", type=float, default=1e-3, help="%(default)s, sinks to 0")
add("--beta", type=float, default=0.01, help="weight of the KL; %(default)s")
add("--epsilon", type=float, default=0.2, help="bound of ratios; %(default)s")

net = hk.bind(
    hk.nets.Decoder,
    hk.nets.DecoderConfig(
        vocab_size=len(sums.LETTERS), model_size=64, num_layers=2, num_heads=4
    ),
)


def answers(params, questions, key, temperature=1.0):
    """Draws answers [B, 3] to questions [B, 6]."""
    return hk.generation.generate(
        net.to(params),
        questions,
        max_new_tokens=sums.ANSWERED,
        rng_key=key,
        temperature=temperature,
    ).tokens


def log_probs(params, questions, answered):
    """Log probabilities [..., 3] of the tokens of answers [..., 3]."""
    texts = jnp.concatenate([questions, answered[..., :-1]], -1)
    logits = hk.BatchApply(net.to(params), questions.ndim - 1)(texts)
    return rlax.softmax().logprob(answered, logits[..., sums.ASKED - 1 :, :])


def learn_examples(params, options, key):
    """Learns right answers by heart, until enough of the drawn ones are right."""
    optimizer = optax.adam(1e-3)

    def loss(params, numbers):
        return -log_probs(params, sums.question(numbers), sums.answer(numbers)).mean()

    def step(carry, key):
        params, state = carry
        numbers = jax.random.choice(key, sums.LEARNED, [128])
        updates, state = optimizer.update(jax.grad(loss)(params, numbers), state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def steps(carry, key):
        keys = jax.random.split(key, 51)
        carry, _ = jax.lax.scan(step, carry, keys[1:])
        numbers = jnp.asarray(sums.LEARNED[:1000])
        drawn = answers(carry[0], sums.question(numbers), keys[0])
        return carry, sums.reward(numbers, drawn).mean()

    carry, accuracy, done = (params, optimizer.init(params)), 0.0, 0
    while accuracy < options.accuracy:
        carry, accuracy = steps(carry, jax.random.fold_in(key, done))
        done += 50
    print(f"{done} updates on examples: {accuracy:.1%} of drawn answers are right")
    return carry[0]


def loss(params, round_, options):
    """GRPO's, the mean over questions [Q] with groups of answers [Q, G, T]."""
    questions, answered, log_mu, log_ref, adv = round_
    log_pi = log_probs(params, questions, answered)
    one = functools.partial(rlax.grpo_loss, epsilon=options.epsilon, beta=options.beta)
    return jax.vmap(one)(log_pi, log_mu, adv, log_ref).mean()


def updater(optimizer, options):
    """Makes the compiled function of several rounds: answer, then learn."""

    def round_of(params, reference, key):
        keys = jax.random.split(key)
        numbers = jax.random.choice(keys[0], sums.LEARNED, [options.questions, 1])
        numbers = jnp.broadcast_to(numbers, [options.questions, options.group])
        questions = sums.question(numbers)  # [Q, G, 6]
        drawn = answers(params, questions.reshape(-1, sums.ASKED), keys[1])
        answered = drawn.reshape(*numbers.shape, sums.ANSWERED)
        rewards = sums.reward(numbers, answered)
        adv = jax.vmap(rlax.group_advantages)(rewards)
        log_mu, log_ref = (
            log_probs(x, questions, answered) for x in (params, reference)
        )
        return (questions, answered, log_mu, log_ref, adv), rewards.mean()

    def update(carry, key):
        params, state, reference = carry
        round_, reward = round_of(params, reference, key)
        for _ in range(options.epochs):
            gradient = jax.grad(loss)(params, round_, options)
            updates, state = optimizer.update(gradient, state)
            params = optax.apply_updates(params, updates)
        return (params, state, reference), reward

    return jax.jit(lambda training, keys: jax.lax.scan(update, training, keys))


def act(params, questions, memory):
    return answers(params, jnp.int32(questions), None, temperature=0.0), memory


def learn(options, seed, report):
    each = options.questions * options.group * options.rounds
    calls = -(-options.steps // each)
    rate = optax.linear_schedule(
        options.learning_rate, 0.0, calls * options.rounds * options.epochs
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    key, init_key, examples_key = jax.random.split(jax.random.key(seed), 3)
    params = net.init(init_key, jnp.zeros([1, sums.ASKED], int)).params
    training, first = report.resume((params, optimizer.init(params), params))
    if not first:
        params = learn_examples(params, options, examples_key)
        training = params, optimizer.init(params), params
    update, shown = updater(optimizer, options), {}
    for step in range(first, options.steps, each):
        report(step, training[0], training, **shown)
        keys = jax.random.split(jax.random.fold_in(key, step), options.rounds)
        training, rewards = update(training, keys)
        shown = {"reward": rewards.mean()}
    return training[0]


main = functools.partial(experiment.main, learn, act, parser, vector=sums.vector)

if __name__ == "__main__":
    main()
