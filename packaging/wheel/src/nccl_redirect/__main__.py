# SPDX-License-Identifier: Apache-2.0
"""``nccl-redirect`` and ``python -m nccl_redirect``: the tool, and ``path``, which launch scripts ask for."""

import os
import sys
from typing import List, NoReturn, Optional

import nccl_redirect

USAGE = """usage: python -m nccl_redirect path [--rccl | --folder | --include | --tool]

Prints the preload library for LD_PRELOAD; --rccl: the one for RCCL; --folder: the folder that containers need;
--include: the folder of nccl_redirect.h; --tool: the command-line tool. Any other command is the tool's own.
"""


def print_path(arguments: List[str]) -> int:
    """``path``: one line for a script to take."""
    answers = {
        (): nccl_redirect.path(),
        ("--rccl",): nccl_redirect.path(rccl=True),
        ("--folder",): nccl_redirect.folder(),
        ("--include",): nccl_redirect.include(),
        ("--tool",): nccl_redirect.tool(),
    }
    answer = answers.get(tuple(arguments))
    if answer is None:
        sys.stderr.write(USAGE)
        return 0 if arguments in (["--help"], ["-h"]) else 2
    print(answer)
    return 0


def become_tool(arguments: List[str]) -> NoReturn:
    """Execute the tool in this process, so that process id, signals and exit code are its own."""
    if arguments[:1] == ["python"] and not [name for name in arguments[1:] if not name.startswith("-")]:
        arguments = arguments + [sys.executable]  # the environment that this script belongs to
    try:
        os.execv(nccl_redirect.tool(), ["nccl-redirect", *arguments])
    except OSError as error:
        sys.exit(f"nccl-redirect: {nccl_redirect.tool()} cannot be executed: {error.strerror}; install the wheel again")


def main(arguments: Optional[List[str]] = None) -> int:
    """The console script."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["path"]:
        return print_path(arguments[1:])
    become_tool(arguments)


if __name__ == "__main__":
    sys.exit(main())
