# SPDX-License-Identifier: Apache-2.0
"""CuPy's NCCL bindings: all ranks in one process, an all-reduce and a broadcast.

    cupy_ranks.py RANKS
"""

import sys

import cupy
import numpy
from cupy.cuda import nccl

import proof


def on_all(comms, buffers, call):
    nccl.groupStart()
    for device, (comm, buffer) in enumerate(zip(comms, buffers)):
        with cupy.cuda.Device(device):
            call(comm, buffer)
    nccl.groupEnd()
    results = []
    for device, buffer in enumerate(buffers):
        with cupy.cuda.Device(device):
            cupy.cuda.Stream.null.synchronize()
            results.append(cupy.asnumpy(buffer))
    return results


def main():
    ranks, count = int(sys.argv[1]), 1 << 20
    buffers = []
    for device in range(ranks):
        with cupy.cuda.Device(device):
            buffers.append(cupy.asarray(numpy.full(count, device + 1, numpy.float32)))
    comms = nccl.NcclCommunicator.initAll(ranks)
    stream = cupy.cuda.Stream.null.ptr

    def all_reduce(comm, buffer):
        comm.allReduce(buffer.data.ptr, buffer.data.ptr, count, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, stream)

    def broadcast(comm, buffer):
        comm.bcast(buffer.data.ptr, count, nccl.NCCL_FLOAT32, 0, stream)

    right = all((result == ranks * (ranks + 1) / 2).all() for result in on_all(comms, buffers, all_reduce))
    with cupy.cuda.Device(0):
        buffers[0].set(numpy.arange(count, dtype=numpy.float32))
    right = all((result == numpy.arange(count)).all() for result in on_all(comms, buffers, broadcast)) and right
    status = proof.show(right, ranks=ranks, get_version=nccl.get_version())
    for comm in comms:
        comm.destroy()
    return status


if __name__ == "__main__":
    sys.exit(main())
