#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recorded calls of a real torch on GPUs: what recording costs, and what `nccl-redirect hang` says of a job that hangs.

usage: trace_ranks.py drive TOOL PRELOAD NCCL FOLDER     all of it; prints "NAME ok|FAIL TEXT" lines; FOLDER: answers, tables
       trace_ranks.py rank WHAT FOLDER                   one rank of one job (by `drive`)
"""
import ctypes
import json
import os
import re
import signal
import socket
import statistics
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


def train(rank, folder, steps=160, at_step=lambda step: None):
    """A small model under DistributedDataParallel; the losses are bit-equal from run to run, the times of the last steps."""
    torch, dist = start_group(rank)
    torch.manual_seed(7)
    torch.use_deterministic_algorithms(True)
    model = torch.nn.Sequential(*[layer for _ in range(6) for layer in (torch.nn.Linear(2048, 2048), torch.nn.ReLU())]).cuda()
    model = torch.nn.parallel.DistributedDataParallel(model, device_ids=[rank])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    data = torch.randn(512, 2048, generator=torch.Generator().manual_seed(rank)).cuda()
    losses, times = [], []
    for step in range(steps):
        at_step(step)
        torch.cuda.synchronize()
        begin = time.perf_counter()
        loss = (model(data) ** 2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item().hex())
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return torch, dist, losses, times[min(40, steps // 2):]


def graph_time(torch, dist):
    """Seconds of one replay of a captured all-reduce: the best of ten times 1000."""
    tensor = torch.ones(1 << 18, device="cuda")
    dist.all_reduce(tensor)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        dist.all_reduce(tensor)
    graph.replay()
    torch.cuda.synchronize()
    best = 1.0
    for _ in range(10):
        begin = time.perf_counter()
        for _ in range(1000):
            graph.replay()
        torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - begin) / 1000)
    return best


def rank_train(rank, folder):
    torch, dist, losses, times = train(rank, folder)
    replay = graph_time(torch, dist)
    if rank == 0:
        with open(os.path.join(folder, "train.json"), "w", encoding="utf-8") as file:
            json.dump({"losses": losses, "step": statistics.median(times), "replay": replay}, file)
    dist.destroy_process_group()


def rank_skip(rank, folder):
    """Rank 1 leaves out an all-reduce and sleeps."""
    torch, dist, _, _ = train(rank, folder, 25)
    tensor = torch.ones(777, device="cuda")
    if rank == 1:
        time.sleep(300)
    dist.all_reduce(tensor)
    torch.cuda.synchronize()


def rank_kill(rank, folder):
    torch, dist, _, _ = train(rank, folder, 40,
                              lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == 25 and rank == 1 else None)


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

    def start(self, what, trace):
        self.port += 1
        environment = {**os.environ, "LD_PRELOAD": self.preload, "NCCL_REDIRECT": self.nccl, "NCR_NCCL": self.nccl,
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self.port), "WORLD_SIZE": str(RANKS),
                       "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "NCCL_REDIRECT_TRACE": trace or "0"}
        return [subprocess.Popen([sys.executable, __file__, "rank", what, self.folder], start_new_session=True,
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

    def one_train(self, trace):
        ranks = self.start("train", trace)
        for rank in ranks:
            if rank.wait(timeout=180) != 0:
                raise RuntimeError("a rank of train failed")
        with open(os.path.join(self.folder, "train.json"), encoding="utf-8") as file:
            return json.load(file)

    def cost(self, rounds=4):
        off, on = [], []
        for i in range(rounds):
            for which in ((off, on), (on, off))[i % 2]:
                trace = "" if which is off else os.path.join(self.folder, "train%d.traces" % i)
                which.append(self.one_train(trace))
        equal = all(run["losses"] == off[0]["losses"] for run in off + on)
        self.say("losses", equal, "bit-equal in %d runs, with and without recording" % (2 * rounds))
        for key in ("step", "replay"):  # shown, not judged: a step is three recorded calls longer, some 100 ns
            best = [min(run[key] for run in side) * 1e6 for side in (on, off)]
            spread = [max(run[key] for run in side) / min(run[key] for run in side) for side in (on, off)]
            self.say("time-" + key, True, "recorded %.1f us, not recorded %.1f us, ratio %.4f; slowest to quickest run %.3f with, "
                     "%.3f without" % (*best, best[0] / best[1], *spread))

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
        {"train": rank_train, "skip": rank_skip, "kill": rank_kill, "mixed": rank_mixed}[sys.argv[2]](
            int(os.environ["RANK"]), sys.argv[3])
        return
    drive = Drive(*sys.argv[2:6])
    for step in (lambda: drive.expect("skip", r"Rank 1 \(.*has not called AllReduce #\d+ on .*alive and outside of NCCL", 45),
                 lambda: drive.expect("kill", r"Rank 1 \(.*(killed, or ended by _exit)", 45),
                 drive.mixed, drive.cost):
        try:
            step()
        except Exception as error:  # the other steps are worth their time all the same
            print("step FAIL %r" % error, flush=True)


if __name__ == "__main__":
    main()
