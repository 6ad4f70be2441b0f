# SPDX-License-Identifier: Apache-2.0
"""Start this Python once more with the preload, where a variable of nccl-redirect arrived and the preload did not.

`nccl-redirect python --enable` (python_setup.py) puts this into site-packages as _nccl_redirect_startup.py, with the
folder of the preload at its end, and a .pth file that imports it in the site module, before the first line of the program,
where a variable NCCL_REDIRECT* is set. It must work on every Python 3 and never keep one from starting: whatever is
unusual is left alone. It imports nothing that Python has not imported by then, which would cost more than all it does.
"""

import os
import sys

# Tells the process after exec, which has the same id, that this was tried: then it is not tried again, come what may.
MARK = "_NCCL_REDIRECT_TRIED"
AT_SECURE = 23


def say(text):
    """One line on stderr, unless the log is off."""
    if os.environ.get("NCCL_REDIRECT_LOG") not in ("off", "error") and sys.stderr:
        sys.stderr.write("nccl-redirect: warning: %s; this Python continues without it\n" % text)


def read(path):
    """The bytes of a file of /proc."""
    with open(path, "rb") as file:
        return file.read()


def honours_preload():
    """Not in a set-uid program, where the loader drops LD_PRELOAD, nor with musl, which ends the process over it."""
    auxiliary = read("/proc/self/auxv")
    for at in range(0, len(auxiliary), 16):  # pairs of a key and a value
        if int.from_bytes(auxiliary[at : at + 8], sys.byteorder) == AT_SECURE and any(auxiliary[at + 8 : at + 16]):
            return False
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except ValueError:
        return False


def is_interpreter(program, arguments):
    """Is the whole process `python ARGUMENTS`? A program with a Python inside may be in the middle of its work."""
    kind = os.path.basename(program)
    for name in ("python", "pypy"):
        if kind.startswith(name):
            kind = kind[len(name) :].strip("0123456789.")
            break
    else:
        return False
    if kind not in ("", "d", "m", "t", "u", "dm", "td", "-c", "-dbg", "-intel64"):
        return False
    given = [os.fsencode(word) for word in getattr(sys, "orig_argv", ())]
    return given in ([], arguments) and len(os.listdir("/proc/self/task")) == 1


def wanted_preload(folder):
    """The preload: the one for RCCL where that is named, or where AMD's driver is and NVIDIA's is not."""
    named = os.path.basename(os.environ.get("NCCL_REDIRECT", ""))
    amd = os.path.exists("/dev/kfd") and not os.path.exists("/dev/nvidiactl")
    rccl = named.startswith("librccl") or (amd and not named.startswith("libnccl"))
    name = "rccl_redirect.so" if rccl else "nccl_redirect.so"
    link = os.path.join(folder, "lib" + name)
    return link if os.path.exists(link) else os.path.join(folder, name)


def preload_entries():
    """What LD_PRELOAD lists, separated by colons or spaces: other libraries, and nccl-redirect's."""
    entries = os.environ.get("LD_PRELOAD", "").replace(":", " ").split()
    ours = [entry for entry in entries if entry.endswith("ccl_redirect.so")]
    return [entry for entry in entries if entry not in ours], ours


def start_again(folder):
    """Execute this process's own command with the preload of that folder, or return."""
    tried = os.environ.pop(MARK, "") == str(os.getpid())
    others, ours = preload_entries()
    if tried or any("$" in entry or os.path.exists(entry) for entry in ours):
        return  # the loader had it, or said why not
    program = os.readlink("/proc/self/exe")
    arguments = read("/proc/self/cmdline").split(b"\0")[:-1]
    if not honours_preload() or not is_interpreter(program, arguments):
        return
    preload = wanted_preload(folder)
    if not os.access(preload, os.R_OK):
        say("%s cannot be read; if nccl-redirect was removed, remove %s too" % (preload, __file__))
        return
    # As this process got it: Python itself may have set LC_CTYPE since, which would switch the next one's UTF-8 mode.
    given = read("/proc/self/environ").split(b"\0")[:-1]
    variables = dict(entry.split(b"=", 1) for entry in given if b"=" in entry)
    variables[b"LD_PRELOAD"] = os.fsencode(":".join(others + [preload]))
    variables[os.fsencode(MARK)] = b"%d" % os.getpid()
    os.execve(program, arguments, variables)


def run(folder):
    """What the .pth file comes for."""
    try:
        start_again(folder)
    except (OSError, ValueError) as failure:
        say("the preload library is not used: %s" % failure)
