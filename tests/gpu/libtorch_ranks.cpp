/* SPDX-License-Identifier: Apache-2.0 */
// A C++ program with libtorch: ProcessGroupNCCL over one process for each rank, an all-reduce and
// an all-gather.
//
//   libtorch_ranks RANKS FOLDER        FOLDER: empty, for the ranks to find each other
//
// torch's own answer to "which NCCL?" (c10d::getNcclVersion asks the library) is printed with the
// process map.
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <c10/cuda/CUDAGuard.h>
#include <torch/all.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern "C" {
#include "proof.h"
}

static bool all_reduce_is_right(c10d::ProcessGroupNCCL &group, int rank, int ranks) {
    std::vector<at::Tensor> tensors = {torch::full({1 << 20}, rank + 1.0, at::kCUDA)};
    group.allreduce(tensors)->wait();
    return tensors[0].eq(ranks * (ranks + 1) / 2.0).all().item<bool>();
}

static bool all_gather_is_right(c10d::ProcessGroupNCCL &group, int rank, int ranks) {
    std::vector<at::Tensor> from = {torch::full({1000}, rank, at::kCUDA)};
    std::vector<std::vector<at::Tensor>> to(1);
    for (int r = 0; r < ranks; r++)
        to[0].push_back(torch::full({1000}, -1.0, at::kCUDA));
    from[0] = from[0].to(at::kFloat);
    group.allgather(to, from)->wait();
    bool good = true;
    for (int r = 0; r < ranks; r++)
        good = good && to[0][r].eq(r).all().item<bool>();
    return good;
}

static int rank_main(int rank, int ranks, const std::string &folder) {
    c10::cuda::CUDAGuard guard(rank);
    auto store = c10::make_intrusive<c10d::FileStore>(folder + "/store", ranks);
    auto options = c10d::ProcessGroupNCCL::Options::create();
    auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, ranks, options);
    bool good = all_reduce_is_right(*group, rank, ranks);
    good = all_gather_is_right(*group, rank, ranks) && good;

    int code = 0;
    if (ncclGetVersion(&code) != ncclSuccess)
        return 1;
    std::cout << "torch's answer: " << c10d::getNcclVersion() << std::endl;
    proof(code, "result=%s ranks=%d", good ? "right" : "wrong", ranks);
    group->shutdown();
    return !good;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    int ranks = std::atoi(argv[1]), failed = 0;
    for (int rank = 0; rank < ranks; rank++) {
        pid_t child = fork();
        if (child == 0)
            return rank_main(rank, ranks, argv[2]);
        failed += child < 0;
    }
    for (int status; wait(&status) > 0;)
        failed += status != 0;
    return failed != 0;
}
