"""One of two hosts that train together: run by `tests/analysis/test_ensembles.py`."""

import sys
from pathlib import Path

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxnet

N_MEMBERS = 4


def train(shard):
    """Four small networks, each with a rate of its own, learn as `shard` divides them."""
    images = jax.random.uniform(jax.random.key(0), (60, 6))
    labels = (3 * images.mean(1)).astype(int)
    draw = jax.vmap(lambda key: jaxnet.init(key, (6, 4, 3)))
    starts = draw(jax.random.split(jax.random.key(1), N_MEMBERS))
    rates = np.geomspace(0.01, 0.3, N_MEMBERS, dtype=np.float32)

    def run(params, rate):
        return jaxnet.training.fit(
            jax.random.key(2),
            images,
            labels,
            optax.adam(rate),
            params=params,
            epochs=3,
            batch_size=10,
        )

    return jax.jit(jax.vmap(run))(shard(starts), shard(rates))


def train_one(mesh):
    """One small network, each of whose batches is divided over a mesh."""
    images = np.asarray(jax.random.uniform(jax.random.key(0), (60, 6)))
    labels = (3 * images.mean(1)).astype(np.int32)
    divided = NamedSharding(mesh, P("batch"))
    images, labels = (
        jax.make_array_from_callback(a.shape, divided, lambda i, a=a: a[i])
        for a in (images, labels)
    )
    params = jax.device_put(jaxnet.init(jax.random.key(1), (6, 4, 3)), NamedSharding(mesh, P()))
    return jaxnet.training.fit(
        jax.random.key(2), images, labels, optax.sgd(0.3), params=params, epochs=3, batch_size=10
    )


def main(process_id, n_processes, port, folder):
    jax.config.update("jax_num_cpu_devices", 1)
    jax.distributed.initialize(
        f"127.0.0.1:{port}", num_processes=n_processes, process_id=process_id
    )
    result = train(jaxnet.analysis.shard_members)
    state, history = result
    for leaf in jax.tree.leaves((state.params, history)):
        (own,) = leaf.addressable_shards
        assert len(own.data) == N_MEMBERS // 2
    leaves = jax.tree.leaves(multihost_utils.process_allgather(result, tiled=True))
    if process_id == 0:
        np.savez(Path(folder) / "hosts.npz", *leaves)
    together = train_one(jax.make_mesh((2,), ("batch",)))
    if process_id == 0:
        np.savez(Path(folder) / "one.npz", *jax.tree.leaves(jax.device_get(together)))
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
