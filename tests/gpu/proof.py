# SPDX-License-Identifier: Apache-2.0
"""What proves which NCCL was active in a Python process: its own version, and the process map. See proof.h for the line."""

import ctypes
import os
import sys


def maps():
    """Every NCCL that is mapped, nccl-redirect's own file and NCCL's plugins not counted."""
    found = []
    with open("/proc/self/maps") as lines:
        for line in lines:
            path = line[line.find("/") :].strip() if "/" in line else ""
            base = os.path.basename(path)
            if base.startswith(("libnccl", "librccl")) and "_redirect" not in base and base[7] != "-":
                if path not in found:
                    found.append(path)
    return found


def version():
    """ncclGetVersion's answer: of the process's global one (the shim's, if it is preloaded), else of the one that is mapped."""
    function = getattr(ctypes.CDLL(None), "ncclGetVersion", None)
    if function is None:
        function = ctypes.CDLL(maps()[0]).ncclGetVersion
    code = ctypes.c_int()
    if function(ctypes.byref(code)) != 0:
        return "none"
    value = code.value
    thousand = 1000 if value < 10000 else 10000
    return f"{value // thousand}.{value % thousand // 100}.{value % 100}"


def show(right, **more):
    """Print the line (in one write: ranks share the output) and return the exit status."""
    fields = {"version": version(), "maps": ",".join(maps()) or "none", "result": "right" if right else "wrong", **more}
    sys.stdout.write("proof: " + " ".join(f"{key}={value}" for key, value in fields.items()) + "\n")
    sys.stdout.flush()
    return 0 if right else 1


def measure(what, values):
    values = sorted(values)
    sys.stdout.write(
        f"measure: what={what} value={values[len(values) // 2]:.3f} min={values[0]:.3f} max={values[-1]:.3f}\n"
    )
    sys.stdout.flush()
