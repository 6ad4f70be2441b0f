# SPDX-License-Identifier: Apache-2.0
"""One process, two NCCLs: the same sum on a communicator of each.

LD_PRELOAD=/path/libnccl_redirect.so python3 per_communicator.py torch system
"""
import ctypes
import sys

try:
    import torch
    gpus = torch.cuda.device_count()
except ImportError:
    gpus = 0
nccl = ctypes.CDLL(None)  # the preload has NCCL's functions, and its own
ranks, count, int32, total = gpus or 2, 1000, 2, 0  # ncclInt32, ncclSum


class Info(ctypes.Structure):  # the first fields of struct nccl_redirect_info
    _fields_ = [("size", ctypes.c_size_t), ("version", ctypes.c_int), ("backends", ctypes.c_int),
                ("kind", ctypes.c_char_p), ("path", ctypes.c_char_p)]


def communicators(backend):
    comms = (ctypes.c_void_p * ranks)()
    if nccl.nccl_redirect_use(backend.encode()) or nccl.ncclCommInitAll(comms, ranks, None):
        nccl.ncclGetLastError.restype = ctypes.c_char_p
        sys.exit(nccl.ncclGetLastError(None).decode())
    return [ctypes.c_void_p(comm) for comm in comms]


def all_reduce(comms):
    if gpus:
        tensors = [torch.full((count,), rank + 1, dtype=torch.int32, device=f"cuda:{rank}") for rank in range(ranks)]
        places = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
    else:
        tensors = places = [(ctypes.c_int * count)(*[rank + 1] * count) for rank in range(ranks)]
    nccl.ncclGroupStart()
    for place, comm in zip(places, comms):
        nccl.ncclAllReduce(place, place, ctypes.c_size_t(count), int32, total, comm, None)
    code = nccl.ncclGroupEnd()
    return code == 0 and all(int(value) == ranks * (ranks + 1) // 2 for tensor in tensors for value in tensor)


both = {backend: communicators(backend) for backend in sys.argv[1:3]}
for name, members in both.items():
    info = Info(ctypes.sizeof(Info))
    nccl.nccl_redirect_info(members[0], ctypes.byref(info))
    print(f"{name}: NCCL {info.version}, {info.path.decode()}: all-reduce {'right' if all_reduce(members) else 'wrong'}")
