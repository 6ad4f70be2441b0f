# SPDX-License-Identifier: Apache-2.0
"""Where the parts of nccl-redirect lie, for launch scripts.

>>> import nccl_redirect, subprocess
>>> subprocess.run(["torchrun", "train.py"], env={**os.environ, **nccl_redirect.env(use="system")})

Importing this redirects nothing: a preload takes effect when a process starts. For a Python that is started without it,
see ``nccl-redirect python --help``.
"""

import json
import os
import subprocess
from typing import Dict, Optional

__all__ = ["env", "folder", "include", "path", "tool"]


def _inside(*names: str) -> str:
    return os.path.join(os.path.dirname(os.path.realpath(__file__)), *names)


def folder() -> str:
    """The folder that a container needs, mounted or copied: preload, tool and entrypoint."""
    return _inside("lib", "nccl-redirect")


def path(rccl: bool = False) -> str:
    """The preload library's file, for ``LD_PRELOAD``; with ``rccl`` the one for AMD GPUs."""
    return os.path.join(folder(), "rccl_redirect.so" if rccl else "nccl_redirect.so")


def tool() -> str:
    """The command-line tool's file, which needs no Python."""
    return os.path.join(folder(), "nccl-redirect")


def include() -> str:
    """The folder of ``nccl_redirect.h``, for ``cc -I``."""
    return _inside("include")


def env(use: Optional[str] = None, require: Optional[str] = None, strict: bool = False) -> Dict[str, str]:
    """The variables that redirect a process, as a dictionary for ``subprocess`` or Ray's ``env_vars``.

    ``use``, ``require`` and ``strict`` are the options of ``nccl-redirect env``; what the environment says already is
    kept, ``LD_PRELOAD`` is appended to. Raises ``ValueError`` with the tool's error message for a value that is not accepted.
    """
    command = [tool(), "env", "--format", "json"]
    if use is not None:
        command += ["--use", use]
    if require is not None:
        command += ["--require", require]
    if strict:
        command += ["--strict"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip())
    variables: Dict[str, str] = json.loads(done.stdout)
    return variables
