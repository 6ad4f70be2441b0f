# SPDX-License-Identifier: Apache-2.0
"""Imports torch, and prints which NCCL is active and which files of an NCCL are mapped."""
import ctypes

import torch

version = ctypes.c_int()
ctypes.CDLL("libnccl.so.2").ncclGetVersion(ctypes.byref(version))
with open("/proc/self/maps", encoding="utf-8") as maps:
    files = sorted({line.split()[-1] for line in maps if "/libnccl.so" in line})
print("torch", torch.__version__, "NCCL", version.value, *files)
