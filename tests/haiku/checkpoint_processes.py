"""What two processes of one training do, for tests that watch them by their logs."""

import os
import time


def begin(process, port, programs):
    """JAX over two processes with two devices each, and a mesh of all four."""
    import jax
    from checkpoint_training import keep_programs
    from jax.sharding import AxisType

    keep_programs(programs)
    jax.config.update("jax_num_cpu_devices", 2)
    jax.distributed.initialize(
        f"127.0.0.1:{port}", 2, process, heartbeat_timeout_seconds=20
    )
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    jax.set_mesh(mesh)
    return mesh


def state_on(mesh, start):
    """One array over all devices, one on each, and a key that each process has."""
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    def put(values, *spec):
        sharding = NamedSharding(mesh, PartitionSpec(*spec))
        return jax.make_array_from_callback(
            values.shape, sharding, lambda part: values[part]
        )

    values = np.random.default_rng(start).normal(size=(8, 64 * 1024))
    return {
        "w": put(values.astype(np.float32), "data"),
        "bias": put(np.full(8, start, np.float32)),
        "key": jax.random.key(start),
        "count": start,
    }


def is_equal(state, other):
    """Whether this process holds the same numbers in both."""
    import jax
    import numpy as np

    def numbers(x):
        if isinstance(x, int):
            return [x]
        if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        return [np.asarray(shard.data) for shard in x.addressable_shards]

    return all(
        np.array_equal(a, b)
        for name in state
        for a, b in zip(numbers(state[name]), numbers(other[name]), strict=True)
    )


class Position:
    """A loader that stands somewhere."""

    def __init__(self, position):
        self.position = position

    def get_state(self):
        return {"next_index": self.position}

    def set_state(self, state):
        self.position = state["next_index"]


def tell(name, act):
    """Prints, in one line, the error that something raises, or that there is none."""
    try:
        act()
    except Exception as error:
        words = f"{type(error).__name__} {error}".replace("\n", " ")
    else:
        words = "no error"
    print(f"{name}: {words}")


def save_and_disagree(process, port, folder):
    import jax
    import jax.numpy as jnp

    import haiku as hk
    from haiku.checkpoint import same_program

    mesh = begin(process, port, folder.parent / "programs")
    state = state_on(mesh, 1)
    with hk.checkpoint.Checkpoints(folder) as checkpoints:
        checkpoints.save(0, state_on(mesh, 0), Position(4))
        checkpoints.save(1, state, Position(8))
        tell("loader", lambda: checkpoints.save(2, state, Position(8 + process)))
        own = {**state, "key": jax.random.key(process)}
        tell("key", lambda: checkpoints.save(2, own, Position(12)))
        tell(
            "other tree",
            lambda: checkpoints.save(2, {**state, f"p{process}": 1}, Position(12)),
        )
        odd = {**state, "count": "text" if process else 1}
        tell("one fails", lambda: checkpoints.save(2, odd, Position(12)))
        got, at = checkpoints.restore(state_on(mesh, 0), position := Position(0))
        print("equal:", is_equal(got, state), at, position.position)
    tell(
        "arguments",
        lambda: hk.checkpoint.Checkpoints(folder, every=1 + process).__enter__(),
    )
    same = jax.jit(lambda x: jnp.sin(x) * 2)
    other = jax.jit(lambda x: jnp.sin(x) * (2 + process))
    tell("same", lambda: hk.checkpoint.assert_same_program(same, state["w"]))
    tell("other", lambda: hk.checkpoint.assert_same_program(other, state["w"]))
    if process:
        same_program.versions = lambda: "jax 0.9.9, jaxlib 0.9.9"
    tell("versions", lambda: hk.checkpoint.assert_same_program(same, state["w"]))
    print("end")


def resume_and_stop(process, port, folder):
    """Step 5 is damaged for one process, step 4 comes from one process alone."""
    import haiku as hk

    mesh = begin(process, port, folder.parent / "programs")
    state = state_on(mesh, 0)
    with hk.checkpoint.Checkpoints(folder, every=1000, keep=9) as checkpoints:
        tell("damaged", lambda: checkpoints.restore(state))
        state, at = checkpoints.restore(state, position := Position(0), step=4)
        print("equal:", is_equal(state, state_on(mesh, 4)), at, position.position)
        for i in range(at + 1, 4000):
            time.sleep(0.005)
            if i == 10:
                print("running")
            checkpoints.save(i, state, position)
            if checkpoints.stopping:
                print("stops", i, checkpoints.steps())
                break
    print("end")


def hang(process, port, folder):
    """Process 1 hangs in what stands for its loader; process 0 waits for its batch."""
    from jax.experimental import multihost_utils

    import haiku as hk

    mesh = begin(process, port, folder.parent / "programs")
    state = state_on(mesh, 0)
    with hk.checkpoint.Checkpoints(folder, every=1000, hang_after=3) as checkpoints:
        checkpoints.restore(state)
        for i in range(1, 4):
            if process and i == 3:
                a_loader_that_hangs()
            multihost_utils.sync_global_devices(str(i))
            checkpoints.save(i, state)
    print("end")


def a_loader_that_hangs():
    time.sleep(600)


def hang_alone(folder):
    """C code hangs and keeps the interpreter for itself."""
    import ctypes

    import jax.numpy as jnp

    import haiku as hk
    from haiku.checkpoint import watchdog

    watchdog._LAST_RESORT = 0.5
    with hk.checkpoint.Checkpoints(folder, hang_after=0.5) as checkpoints:
        checkpoints.save(1, {"w": jnp.zeros(3)})
        checkpoints.wait()
        print("hangs", os.getpid())
        ctypes.PyDLL(None).sleep(600)
