#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What recording costs on GPUs: steps of torch's training and replays of graphs, in jobs with and without it, in turn.

usage: trace_cost.py drive TOOL PRELOAD NCCL FOLDER SECONDS [JOB...]   for each job (train, replay) so many seconds;
                                                   prints "NAME ok|FAIL TEXT" lines; FOLDER: logs, JOB.json
       trace_cost.py show FILE...                  the same lines from those of FOLDER
       trace_cost.py rank JOB FOLDER               one rank of one job (by `drive`)

A run is a job of its own: fresh processes, a new process group. Runs go without, with, with, without, and again: each
pair of neighbours that differ gives a ratio of the medians, half of them with the recorded run first, so that a drift
of clocks and temperatures cancels. Neighbours that are alike, as far apart in time, show the noise.
"""
import collections
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from trace_ranks import RANKS, Drive, start_group

CHAIN, GROUPS, BATCHES, REPLAYS = 50, 4, 25, 10  # all-reduces of a graph, communicators, 25 times 10 replays on each
GAP = 0.02  # between the times of runs of different pace
MEASURES = {
    "step": "a step of the transformer, by GPU events",
    "wall": "the same, by the host's clock over all steps of a run",
    "small": "a small step whose end the host waits for",
    "replay-1MiB": "a replay of %d captured all-reduces" % CHAIN,
    "replay-8MiB": "the same, larger",
}


# ---- one rank ----

def pin(rank):
    """Each rank on processors of its own, before any thread is started."""
    cpus = sorted(os.sched_getaffinity(0))
    each = len(cpus) // RANKS
    if each:
        os.sched_setaffinity(0, cpus[rank * each:(rank + 1) * each])


def transformer(torch):
    """300 million parameters, 1.2 GB of gradients."""
    layer = torch.nn.TransformerEncoderLayer(2048, 16, 8192, dropout=0.0, activation="gelu", batch_first=True,
                                             norm_first=True)
    return torch.nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)


def perceptron(torch):
    return torch.nn.Sequential(*[layer for _ in range(6) for layer in (torch.nn.Linear(2048, 2048), torch.nn.ReLU())])


def train(torch, model, data, steps, skip, wait):
    """Losses of a model under DistributedDataParallel, and milliseconds of a step after the first `skip`.

    If the host does not wait for each step, it runs ahead of the GPU, which is then never idle.
    """
    model = torch.nn.parallel.DistributedDataParallel(model, device_ids=[torch.cuda.current_device()])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses, ends, begin = [], [], 0.0
    for step in range(steps):
        if step == skip:
            torch.cuda.synchronize()
            begin = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16, enabled=not wait):
            loss = (model(data).float() ** 2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
        if wait:
            torch.cuda.synchronize()
        ends.append(torch.cuda.Event(enable_timing=True))
        ends[-1].record()
    torch.cuda.synchronize()
    wall = (time.perf_counter() - begin) * 1e3 / (steps - skip)
    times = [one.elapsed_time(other) for one, other in zip(ends[skip:], ends[skip + 1:])]
    return [loss.hex() for loss in torch.stack(losses).tolist()], times, wall


def train_job(torch, dist, rank):
    """Losses by model, and milliseconds of a step, by measure."""
    torch.use_deterministic_algorithms(True)
    losses, times = {}, {}
    for name, build, shape, steps, skip, wait in (("step", transformer, (6, 1024, 2048), 100, 20, False),
                                                  ("small", perceptron, (512, 2048), 250, 50, True)):
        torch.manual_seed(7)
        data = torch.randn(shape, generator=torch.Generator().manual_seed(rank)).cuda()
        with torch.device("cuda"):
            model = build(torch)
        losses[name], steps_of_gpu, wall = train(torch, model, data, steps, skip, wait)
        times[name] = [steps_of_gpu]
        if not wait:
            times["wall"] = [[wall]]
    return losses, times


def replay(torch, dist, group, tensor):
    """Milliseconds of one replay of a chain of all-reduces, from each batch of replays."""
    dist.all_reduce(tensor, dist.ReduceOp.AVG, group)  # the average of equal values stays, however often it is taken
    torch.cuda.synchronize()
    graph, ends = torch.cuda.CUDAGraph(), []
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        for _ in range(CHAIN):
            dist.all_reduce(tensor, dist.ReduceOp.AVG, group)
    for _ in range(2 + BATCHES):
        for _ in range(REPLAYS):
            graph.replay()
        ends.append(torch.cuda.Event(enable_timing=True))
        ends[-1].record()
    torch.cuda.synchronize()
    assert (tensor == (RANKS + 1) / 2).all(), "a wrong average"
    graph.reset()  # before its communicator ends
    return [one.elapsed_time(other) / REPLAYS for one, other in zip(ends[1:], ends[2:])]


def replay_job(torch, dist, rank):
    """Milliseconds of a replay, by measure, on four communicators: now and then one is slower than the others."""
    times = {"replay-1MiB": [], "replay-8MiB": []}
    for _ in range(GROUPS):
        group = dist.new_group()
        for name, count in (("replay-1MiB", 1 << 18), ("replay-8MiB", 1 << 21)):
            times[name].append(replay(torch, dist, group, torch.full((count,), rank + 1.0, device="cuda")))
    return {}, times


def run_rank(job, rank, folder):
    begin = time.perf_counter()
    pin(rank)
    torch, dist = start_group(rank)
    start = time.perf_counter() - begin
    losses, times = {"train": train_job, "replay": replay_job}[job](torch, dist, rank)
    with open(os.path.join(folder, "%s%d.json" % (job, rank)), "w", encoding="utf-8") as file:
        json.dump({"start": start, "losses": losses, "times": times}, file)
    dist.destroy_process_group()


# ---- driving ----

def calls_recorded(drive, trace):
    """NCCL calls of one rank, by function."""
    run = subprocess.run([drive.tool, "trace", "summary", "--json", trace], capture_output=True, text=True, check=True)
    calls = collections.Counter()
    for row in json.loads(run.stdout)["calls"]:
        calls[row["function"]] += row["calls"] / RANKS
    return calls


def one_run(drive, job, recorded):
    """One job: its ranks' results. Traces are in memory, as they are by default."""
    trace = tempfile.mkdtemp(prefix="nccl-redirect-cost-", dir="/dev/shm")
    begin = time.perf_counter()
    ranks = drive.start(job, trace if recorded else "", (__file__, "rank"))
    try:
        if any([rank.wait(timeout=150) != 0 for rank in ranks]):
            raise RuntimeError("a rank failed, see %s*.log" % job)
        run = {"recorded": recorded, "seconds": time.perf_counter() - begin, "ranks": []}
        for rank in range(RANKS):
            with open(os.path.join(drive.folder, "%s%d.json" % (job, rank)), encoding="utf-8") as file:
                run["ranks"].append(json.load(file))
        run["calls"] = calls_recorded(drive, trace) if recorded else {}
        return run
    finally:
        drive.end(ranks)
        shutil.rmtree(trace)


def measure(drive, job, seconds):
    """Runs in turn for so many seconds. The first, which reads torch from the disk, is not counted."""
    end, runs = time.perf_counter() + seconds, []
    one_run(drive, job, True)
    for recorded in itertools.cycle((False, True, True, False)):
        if len(runs) % 2 == 0 and runs and time.perf_counter() + 2.1 * runs[-1]["seconds"] > end:
            return runs
        runs.append(one_run(drive, job, recorded))
        with open(os.path.join(drive.folder, job + ".json"), "w", encoding="utf-8") as file:
            json.dump(runs, file)
        rank = runs[-1]["ranks"][0]
        print("run %d: recorded %s, %.1f s, %.1f s of them until the group was there; %s" % (
            len(runs), recorded, runs[-1]["seconds"], rank["start"],
            ", ".join("%s %.4f ms" % (name, value(runs[-1], name)) for name in rank["times"])), flush=True)


# ---- the result ----

def value(run, name):
    """Of the slowest rank; of its communicators, if there are several."""
    return max(statistics.median(statistics.median(times) for times in rank["times"][name]) for rank in run["ranks"])


def ratios(runs, name):
    """Recorded to not recorded of each pair of neighbours that differ; later to earlier of those that are alike."""
    differ, alike = [], []
    for one, other in zip(runs, runs[1:]):
        ratio = value(other, name) / value(one, name)
        if one["recorded"] == other["recorded"]:
            alike.append(ratio)
        else:
            differ.append(ratio if other["recorded"] else 1 / ratio)
    return differ, alike


def interval(estimate, *samples):
    """Of 95 %, by bootstrap, as text."""
    chance = random.Random(7)
    estimates = sorted(estimate(*[chance.choices(sample, k=len(sample)) for sample in samples]) for _ in range(4000))
    return "95 %%: %.4f to %.4f" % (estimates[100], estimates[-101])


def described(sample):
    return "%.4f (%s; %d pairs, %.4f to %.4f)" % (
        statistics.median(sample), interval(statistics.median, sample), len(sample), min(sample), max(sample))


def by_pace(runs, name):
    """The ratio within each group of runs whose times lie together, as text.

    A job replays at one pace for as long as it lives. Paces differ by 10 % from job to job, recorded or not, and a
    pair of different paces says nothing about recording.
    """
    groups = []
    for run in sorted(runs, key=lambda run: value(run, name)):
        if not groups or value(run, name) > (1 + GAP) * value(groups[-1][-1], name):
            groups.append([])
        groups[-1].append(run)
    text = ""
    for group in groups:
        on, off = ([value(run, name) for run in group if run["recorded"] == side] for side in (True, False))
        if min(len(on), len(off)) > 1:
            text += "; %d recorded and %d other runs from %.4f to %.4f ms: %.4f (%s)" % (
                len(on), len(off), min(on + off), max(on + off), ratio_of_medians(on, off),
                interval(ratio_of_medians, on, off))
    return text


def ratio_of_medians(one, other):
    return statistics.median(one) / statistics.median(other)


def show(runs):
    """Times are shown, not judged: those of a shared machine say nothing about a change of some nanoseconds."""
    recorded, first = [run for run in runs if run["recorded"]], runs[0]["ranks"]
    for name in first[0]["losses"]:
        losses = [[rank["losses"][name] for rank in run["ranks"]] for run in runs]
        equal = all(other == losses[0] for other in losses)
        Drive.say("losses-" + name, equal, "%s on all ranks in %d runs, %d of them recorded; %d steps, %g to %g" % (
            "bit-equal" if equal else "differ", len(runs), len(recorded), len(losses[0][0]),
            *(float.fromhex(losses[0][0][step]) for step in (0, -1))))
    Drive.say("calls", all(sum(run["calls"].values()) > 100 for run in recorded), "recorded of each rank: " + ", ".join(
        "%s %g" % call for call in recorded[0]["calls"].items()))
    for name in first[0]["times"]:
        differ, alike = ratios(runs, name)
        Drive.say("time-" + name, True, "%s, %.4f ms; recorded to not: %s; alike: %s%s" % (
            MEASURES[name], statistics.median(value(run, name) for run in runs), described(differ), described(alike),
            by_pace(runs, name) if name.startswith("replay") else ""))


def main():
    if sys.argv[1] == "rank":
        run_rank(sys.argv[2], int(os.environ["RANK"]), sys.argv[3])
        return
    if sys.argv[1] == "show":
        for name in sys.argv[2:]:
            with open(name, encoding="utf-8") as file:
                show(json.load(file))
        return
    drive = Drive(*sys.argv[2:6])
    for job in sys.argv[7:] or ("train", "replay"):
        try:
            show(measure(drive, job, float(sys.argv[6])))
        except Exception as error:  # the other job is worth its time all the same
            print("%s FAIL %r" % (job, error), flush=True)


if __name__ == "__main__":
    main()
