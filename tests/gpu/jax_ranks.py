# SPDX-License-Identifier: Apache-2.0
"""JAX: psum and all_gather over all devices of one process, through jit and shard_map.

    jax_ranks.py RANKS
"""

import os
import sys

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax  # noqa: E402
import numpy  # noqa: E402
from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: E402

import proof  # noqa: E402

try:
    from jax import shard_map
except ImportError:
    from jax.experimental.shard_map import shard_map


def main():
    ranks, count = int(sys.argv[1]), 1 << 22
    devices = jax.devices("gpu")[:ranks]
    mesh = Mesh(numpy.array(devices), ("rank",))
    parts = PartitionSpec("rank")
    data = numpy.arange(ranks * count, dtype=numpy.float32).reshape(ranks, count) % 1000
    placed = jax.device_put(data, NamedSharding(mesh, parts))

    def add(x):
        return jax.lax.psum(x, "rank")

    def gather(x):
        return jax.lax.all_gather(x[:, :1000], "rank", axis=1, tiled=True)

    total = jax.jit(shard_map(add, mesh=mesh, in_specs=parts, out_specs=PartitionSpec()))(placed)
    gathered = jax.jit(shard_map(gather, mesh=mesh, in_specs=parts, out_specs=parts))(placed)
    right = numpy.array_equal(numpy.asarray(total), data.sum(axis=0, keepdims=True))
    whole = data[:, :1000].reshape(1, -1).repeat(ranks, axis=0)
    right = numpy.array_equal(numpy.asarray(gathered), whole) and right
    return proof.show(right, ranks=ranks)


if __name__ == "__main__":
    sys.exit(main())
