/* SPDX-License-Identifier: Apache-2.0 */
// A C++ program linked with libtorch: torch's own functions tell which NCCL is active and make a
// unique id.
#include <torch/csrc/cuda/nccl.h>
#include <torch/csrc/distributed/c10d/NCCLUtils.hpp>

#include <cstring>
#include <iostream>

extern "C" {
#include "proof.h"
}

int main() {
    torch::cuda::nccl::ncclUniqueId id = {}, zero = {};
    torch::cuda::nccl::get_unique_id(id);
    bool filled = std::memcmp(&id, &zero, sizeof id) != 0;
    std::cout << "torch's answer: " << c10d::getNcclVersion() << std::endl;
    auto [major, minor, patch] = c10d::getNcclVersionTuple();
    proof(major * 10000 + minor * 100 + patch, "result=%s", filled ? "right" : "wrong");
    return !filled;
}
