# SPDX-License-Identifier: Apache-2.0
"""torch under torchrun, one process group on each of two NCCLs: all-reduce, captured all-reduce, and both in one graph.

    torchrun --nproc-per-node N route_ranks.py BACKEND BACKEND

The communicator of a group is made by its first collective, in the thread that calls it: that thread chooses before. torch's watchdog
asks for the communicators' errors from a thread of its own. Each rank prints one line for each group, as route.c does.
"""

import ctypes
import gc
import os
import sys

import torch
import torch.distributed as dist

REPLAYS, COUNT = 200, 1 << 16
nccl = ctypes.CDLL(None)


class Info(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("version", ctypes.c_int), ("backends", ctypes.c_int),
                ("kind", ctypes.c_char_p), ("path", ctypes.c_char_p)]


class Side:
    """A process group on one NCCL. The total counts the runs: each adds the steps of the other ranks to rank 0's total."""

    def __init__(self, backend, device, rank):
        self.backend, self.group, self.device, self.rank, self.runs = backend, dist.new_group(), device, rank, 0
        self.start = torch.arange(COUNT, device=device)
        self.step = self.start % 7 + rank
        self.total = self.start.clone()
        if nccl.nccl_redirect_use(backend.encode()) != 0:
            nccl.ncclGetLastError.restype = ctypes.c_char_p
            sys.exit(nccl.ncclGetLastError(None).decode())
        self.run()
        torch.cuda.synchronize()
        self.chosen = self.info(None)
        nccl.nccl_redirect_use(None)

    def run(self):
        if self.rank:
            self.total.copy_(self.step)
        dist.all_reduce(self.total, group=self.group)
        self.runs += 1

    def right(self):
        others = range(1, dist.get_world_size())
        return torch.equal(self.total, self.start + self.runs * sum(self.start % 7 + other for other in others))

    @staticmethod
    def info(communicator):
        info = Info(ctypes.sizeof(Info))
        nccl.nccl_redirect_info(ctypes.c_void_p(communicator), ctypes.byref(info))
        return info

    def server(self):
        """Which NCCL the group's communicator uses; in a torch that does not give it away, what was chosen for it."""
        backend = self.group._get_backend(self.device)
        return self.info(backend._comm_ptr()) if hasattr(backend, "_comm_ptr") else self.chosen


def captured(sides):
    """One graph with the all-reduces of these sides, replayed."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        for side in sides:
            side.run()
    for _ in range(REPLAYS):
        graph.replay()
    torch.cuda.synchronize()
    for side in sides:
        side.runs += REPLAYS - 1
    # A captured graph holds its communicator: destroyed after the process group, torch would wait for ever.
    del graph
    gc.collect()
    torch.cuda.synchronize()
    return all(side.right() for side in sides)


def main():
    rank, ranks, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    dist.init_process_group("nccl")
    sides = [Side(backend, device, rank) for backend in sys.argv[1:3]]
    good = [side.right() for side in sides]
    together = captured(sides) if all(good) else False
    alone = [captured([side]) for side in sides] if together else [False, False]
    status = 0
    for i, side in enumerate(sides):
        info, right = side.server(), good[i] and alone[i] and together and side.right()
        version = f"{info.version // 10000}.{info.version // 100 % 100}.{info.version % 100}"
        sys.stdout.write(f"route: version={version} path={info.path.decode()} rank={rank} ranks={ranks} replays={2 * REPLAYS} "
                         f"result={'right' if right else 'wrong'}\n")
        sys.stdout.flush()
        status |= not right
    dist.destroy_process_group()
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
