# SPDX-License-Identifier: Apache-2.0
"""torch under torchrun, one process for each GPU: collectives, and an all-reduce captured into a CUDA graph and replayed.

    torchrun --nproc-per-node N torch_ranks.py          NCR_GPU_BACKEND=gloo: rehearse on CPUs, without the graph
"""

import gc
import os
import sys
import time

import torch
import torch.distributed as dist

import proof

BATCHES, PER_BATCH, COUNT = 20, 50, 1 << 16


def collectives(device, rank, ranks):
    """Each collective once; returns the names of those with a wrong result."""
    mine = torch.full((ranks * 1000,), float(rank + 1), device=device)
    wrong = []

    def check(name, tensor, expected):
        if not torch.equal(tensor.cpu(), expected):
            wrong.append(name)

    total = mine.clone()
    dist.all_reduce(total)
    check("all_reduce", total, torch.full((ranks * 1000,), ranks * (ranks + 1) / 2))
    copy = mine.clone()
    dist.broadcast(copy, src=ranks - 1)
    check("broadcast", copy, torch.full((ranks * 1000,), float(ranks)))
    parts = [torch.empty(1000, device=device) for _ in range(ranks)]
    dist.all_gather(parts, mine[:1000].contiguous())
    check("all_gather", torch.cat(parts), torch.arange(1.0, ranks + 1).repeat_interleave(1000))
    if dist.get_backend() == "nccl":
        part = torch.empty(1000, device=device)
        dist.reduce_scatter_tensor(part, mine)
        check("reduce_scatter", part, torch.full((1000,), ranks * (ranks + 1) / 2))
        swapped = torch.empty_like(mine)
        dist.all_to_all_single(swapped, mine)
        check("all_to_all", swapped, torch.arange(1.0, ranks + 1).repeat_interleave(1000))
    if ranks > 1:
        received = torch.empty_like(mine)
        sent = dist.P2POp(dist.isend, mine, (rank + 1) % ranks)
        got = dist.P2POp(dist.irecv, received, (rank - 1) % ranks)
        for work in dist.batch_isend_irecv([sent, got]):
            work.wait()
        check("send/recv", received, torch.full((ranks * 1000,), float((rank - 1) % ranks + 1)))
    return wrong


def captured(device, rank, ranks):
    """Replay an all-reduce that adds the steps of the other ranks to rank 0's total: the result counts the replays."""
    start = torch.arange(COUNT, device=device)
    step = start % 7 + rank
    total = start.clone()
    torch.cuda.synchronize()
    free_before, _ = torch.cuda.mem_get_info()

    def run():
        if rank:
            total.copy_(step)
        dist.all_reduce(total)

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        run()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        run()
    times = []
    for _ in range(BATCHES):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(PER_BATCH):
            graph.replay()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) * 1e6 / PER_BATCH)
    free_after, _ = torch.cuda.mem_get_info()
    runs = 1 + BATCHES * PER_BATCH
    expected = start + runs * sum((start % 7 + other for other in range(1, ranks)), torch.zeros_like(start))
    right = torch.equal(total, expected)
    # A captured graph holds its communicator: destroyed after the process group, torch would wait for ever.
    del graph
    gc.collect()
    torch.cuda.synchronize()
    return right, times, (free_before - free_after) / 2**20


def main():
    backend = os.environ.get("NCR_GPU_BACKEND", "nccl")
    rank, ranks, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    device = torch.device("cuda", local) if backend == "nccl" else torch.device("cpu")
    if backend == "nccl":
        torch.cuda.set_device(device)
        dist.init_process_group(backend, device_id=device)
    else:
        dist.init_process_group(backend)
    wrong = collectives(device, rank, ranks)
    if wrong:
        print(f"rank {rank}: wrong: {', '.join(wrong)}", file=sys.stderr)
    status = proof.show(not wrong, ranks=ranks, rank=rank) if backend == "nccl" else len(wrong)
    if backend == "nccl":
        right, times, memory = captured(device, rank, ranks)
        status |= proof.show(right, rank=rank, replays=BATCHES * PER_BATCH)
        proof.measure("torch_replay_us", times)
        proof.measure("torch_memory_mib", [memory])
    dist.destroy_process_group()
    return status


if __name__ == "__main__":
    sys.exit(main())
