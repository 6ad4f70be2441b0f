#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recorded calls of a real torch on GPUs: who made them, and what `nccl-redirect hang` says of a job that hangs.

usage: trace_ranks.py drive TOOL PRELOAD NCCL FOLDER     all of it; prints "NAME ok|FAIL TEXT" lines; FOLDER: answers, logs
       trace_ranks.py rank WHAT FOLDER                   one rank of one job (by `drive`)
"""
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time

RANKS = int(os.environ.get("NCR_GPU_RANKS", "2"))


# ---- one rank ----

def start_group(rank):
    import torch
    import torch.distributed as dist
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", rank=rank, world_size=RANKS, device_id=torch.device("cuda", rank))
    return torch, dist


def train(rank, steps, at_step=lambda step: None):
    """Steps of a small model under DistributedDataParallel."""
    torch, dist = start_group(rank)
    layers = [layer for _ in range(6) for layer in (torch.nn.Linear(2048, 2048), torch.nn.ReLU())]
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Sequential(*layers).cuda(), device_ids=[rank])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    data = torch.randn(512, 2048, generator=torch.Generator().manual_seed(rank)).cuda()
    for step in range(steps):
        at_step(step)
        (model(data) ** 2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
    return torch, dist


def rank_skip(rank, folder):
    """Rank 1 leaves out an all-reduce and sleeps."""
    torch, dist = train(rank, 25)
    tensor = torch.ones(777, device="cuda")
    if rank == 1:
        time.sleep(300)
    dist.all_reduce(tensor)
    torch.cuda.synchronize()


def rank_kill(rank, folder):
    train(rank, 40, lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == 25 and rank == 1 else None)


class UniqueId(ctypes.Structure):
    _fields_ = [("internal", ctypes.c_byte * 128)]


def rank_mixed(rank, folder):
    """torch, NCCL by ctypes as pynccl does it, and CuPy's own bindings, in one process."""
    torch, dist = start_group(rank)
    tensor = torch.ones(1000, device="cuda")
    dist.all_reduce(tensor)
    nccl = ctypes.CDLL(os.environ["NCR_NCCL"])
    ident = UniqueId()
    if rank == 0:
        assert nccl.ncclGetUniqueId(ctypes.byref(ident)) == 0
    bytes_of = torch.tensor(list(bytes(ident)), dtype=torch.uint8, device="cuda")
    dist.broadcast(bytes_of, 0)
    ctypes.memmove(ctypes.byref(ident), bytes(bytes_of.cpu().tolist()), 128)
    comm = ctypes.c_void_p()
    nccl.ncclCommInitRank.argtypes = [ctypes.c_void_p, ctypes.c_int, UniqueId, ctypes.c_int]
    assert nccl.ncclCommInitRank(ctypes.byref(comm), RANKS, ident, rank) == 0
    stream = torch.cuda.current_stream().cuda_stream
    assert nccl.ncclAllReduce(ctypes.c_void_p(tensor.data_ptr()), ctypes.c_void_p(tensor.data_ptr()), ctypes.c_size_t(1000), 7, 0,
                              comm, ctypes.c_void_p(stream)) == 0
    torch.cuda.synchronize()
    from cupy.cuda import nccl as cupy_nccl
    ids = [cupy_nccl.get_unique_id() if rank == 0 else None]
    dist.broadcast_object_list(ids, 0)
    communicator = cupy_nccl.NcclCommunicator(RANKS, ids[0], rank)
    communicator.allReduce(tensor.data_ptr(), tensor.data_ptr(), 1000, cupy_nccl.NCCL_FLOAT32, cupy_nccl.NCCL_SUM, stream)
    torch.cuda.synchronize()
    open(os.path.join(folder, "mixed%d" % rank), "w", encoding="utf-8").close()
    time.sleep(300)


# ---- driving ----

class Drive:
    def __init__(self, tool, preload, nccl, folder):
        self.tool, self.preload, self.nccl, self.folder = tool, preload, nccl, folder
        self.port = 20000 + os.getpid() % 20000
        os.makedirs(folder, exist_ok=True)

    def start(self, what, trace, program=(__file__, "rank")):
        """Ranks of a job that is recorded in the folder `trace`, or not."""
        self.port += 1
        environment = {**os.environ, "LD_PRELOAD": self.preload, "NCCL_REDIRECT": self.nccl, "NCR_NCCL": self.nccl,
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self.port), "WORLD_SIZE": str(RANKS),
                       "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "NCCL_REDIRECT_TRACE": trace or "0"}
        return [subprocess.Popen([sys.executable, *program, what, self.folder], start_new_session=True,
                                 env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                                 stderr=open(os.path.join(self.folder, "%s%d.log" % (what, rank)), "ab"))
                for rank in range(RANKS)]

    @staticmethod
    def end(ranks):
        for rank in ranks:
            try:
                os.killpg(rank.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            rank.wait()

    def hang(self, trace):
        begin = time.perf_counter()
        run = subprocess.run([self.tool, "hang", trace], capture_output=True, text=True, check=False)
        return run.stdout + run.stderr, run.returncode, time.perf_counter() - begin

    @staticmethod
    def say(name, good, text):
        print("%s %s %s" % (name, "ok" if good else "FAIL", text.strip().replace("\n", " | ")), flush=True)

    # ---- steps ----

    def ras(self, name):
        """The answers of NCCL's RAS to a client, text and JSON."""
        for form in ("text", "json"):
            try:
                with socket.create_connection(("127.0.0.1", 28028), timeout=10) as client:
                    file = client.makefile("rwb")
                    answers = []
                    for line in ["CLIENT PROTOCOL 2", "TIMEOUT 5"] + (["SET FORMAT json"] if form == "json" else []):
                        file.write(line.encode() + b"\n")
                        file.flush()
                        answers.append(file.readline())
                    file.write(b"VERBOSE STATUS\n")
                    file.flush()
                    answers.append(file.read())
                with open(os.path.join(self.folder, "ras-%s.%s" % (name, form)), "wb") as out:
                    out.write(b"".join(answers))
            except OSError as error:
                print("ras %s %s: %s" % (name, form, error), flush=True)

    def expect(self, what, pattern, seconds):
        trace = os.path.join(self.folder, what + ".traces")
        ranks = self.start(what, trace)
        time.sleep(seconds)
        answer, status, took = self.hang(trace)
        self.say(what, re.search(pattern, answer) is not None and status == 1 and took < 2.5, "%.1f s: %s" % (took, answer))
        self.ras(what)
        tool_says = subprocess.run([self.tool, "hang", os.path.join(self.folder, "nothing-here")], capture_output=True, text=True,
                                   check=False)
        print("untraced " + (tool_says.stdout + tool_says.stderr).strip().replace("\n", " | "), flush=True)
        self.end(ranks)

    def mixed(self):
        trace = os.path.join(self.folder, "mixed.traces")
        ranks = self.start("mixed", trace)
        end = time.time() + 120
        while time.time() < end and not all(os.path.exists(os.path.join(self.folder, "mixed%d" % r)) for r in range(RANKS)):
            time.sleep(0.5)
        run = subprocess.run([self.tool, "trace", "summary", trace], capture_output=True, text=True, check=False)
        callers = [name for name in ("libtorch_cuda", "libffi", "nccl.cpython") if name in run.stdout]
        self.say("mixed", len(callers) == 3, "callers %s in %s" % (callers, run.stdout))
        answer, status, _ = self.hang(trace)
        self.say("mixed-fine", status == 0, answer)
        self.end(ranks)


def main():
    if sys.argv[1] == "rank":
        {"skip": rank_skip, "kill": rank_kill, "mixed": rank_mixed}[sys.argv[2]](
            int(os.environ["RANK"]), sys.argv[3])
        return
    drive = Drive(*sys.argv[2:6])
    for step in (lambda: drive.expect("skip", r"Rank 1 \(.*has not called AllReduce #\d+ on .*alive and outside of NCCL", 45),
                 lambda: drive.expect("kill", r"Rank 1 \(.*(killed, or ended by _exit)", 45),
                 drive.mixed):
        try:
            step()
        except Exception as error:  # the other steps are worth their time all the same
            print("step FAIL %r" % error, flush=True)


if __name__ == "__main__":
    main()
