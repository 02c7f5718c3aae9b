"""One of several processes that train together; prints losses and gradients' sums.

python process_training.py PORT PROCESSES INDEX
"""

import json
import sys

import jax


def main(port, processes, index):
    """Trains the decoder under several rules on 8 devices of all processes."""
    jax.config.update("jax_num_cpu_devices", 8 // processes)
    jax.config.update("jax_platforms", "cpu")
    if processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, index)
    import numpy as np
    from sharded_training import NETS, mesh_of, train

    import haiku as hk

    R = hk.parallel
    cases = {
        "both": (R.fully_sharded() | R.tensor(), {"data": 4, "model": 2}),
        # The model's axis spans processes: all feed the same rows.
        "tensor first": (R.data() | R.tensor(), {"model": 8}),
    }
    found = {}
    for name, (rules, sizes) in cases.items():
        with jax.set_mesh(mesh_of(**sizes)):
            trained = train(NETS["decoder"](), rules)
            part = R.batch_shard(rules)
        grads = [float(np.sum(x)) for x in jax.tree.leaves(trained.gradients)]
        found[name] = {"losses": trained.losses, "grads": grads, "part": part}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
