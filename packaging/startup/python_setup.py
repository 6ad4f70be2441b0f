# SPDX-License-Identifier: Apache-2.0
"""`nccl-redirect python`: put the start-up file into a Python's environment, take it away, or tell of it.

Run by the tool as `PYTHON -I python_setup.py --enable | --disable | --status`. Two files in site-packages: a .pth file,
whose line runs in every start of that Python and looks at the names of the variables alone, and the module that it imports
where one is ours, compiled.
"""

import os
import py_compile
import site
import subprocess
import sys
import sysconfig

MODULE = "_nccl_redirect_startup"
# posix.environ: os.environ would decode each name, which took longer than all the rest where a job has 150 variables.
PTH = """# Written by `nccl-redirect python --enable`, removed by `nccl-redirect python --disable`.
import posix; b"NCCL_REDIRECT" in b"\\n".join(posix.environ) and __import__("%s")
""" % MODULE
HERE = os.path.dirname(os.path.abspath(__file__))


def fail(text):
    """End with one line of error."""
    sys.exit("nccl-redirect: " + text)


def folders():
    """Where a .pth file of this environment counts; the first is where packages are installed."""
    found = [sysconfig.get_path("purelib")] + site.getsitepackages()
    return [folder for i, folder in enumerate(found) if folder not in found[:i]]


def files_in(folder):
    """The .pth file, which makes the others count, and the others."""
    module = os.path.join(folder, MODULE + ".py")
    return [os.path.join(folder, "nccl_redirect.pth"), module, compiled(module)]


def compiled(module):
    """Where Python keeps the compiled form; beside the module for a Python that has no such place."""
    tag = sys.implementation.cache_tag
    return os.path.join(os.path.dirname(module), "__pycache__", "%s.%s.pyc" % (MODULE, tag)) if tag else module + "c"


def enabled():
    """The .pth files that are there."""
    return [path for path in (files_in(folder)[0] for folder in folders()) if os.path.exists(path)]


def works():
    """Which preload does a Python of this environment come up with by the variable alone? None without one."""
    clean = {name: value for name, value in os.environ.items() if "NCCL_REDIRECT" not in name and name != "LD_PRELOAD"}
    clean["NCCL_REDIRECT"] = "auto"
    code = "import os; print('ccl_redirect.so' in open('/proc/self/maps').read() and os.environ['LD_PRELOAD'])"
    done = subprocess.run([sys.executable, "-c", code], env=clean, stdout=subprocess.PIPE, universal_newlines=True)
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() != "False" else None


def remove(folder):
    """Remove what enable() wrote there; what is gone already is fine."""
    for path in files_in(folder):
        try:
            os.remove(path)
        except FileNotFoundError:
            pass
        except OSError as failure:
            fail("%s: %s" % (path, failure.strerror))
    try:
        os.rmdir(os.path.join(folder, "__pycache__"))
    except OSError:
        pass  # others have something there, or nobody


def write(path, text):
    """In one step: a Python that starts meanwhile finds the old file or the new one."""
    with open(path + ".new", "w") as file:
        file.write(text)
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)


def enable():
    """Write the files, try them, and take them away again if they have no effect."""
    folder = folders()[0]
    pth, module, cache = files_in(folder)
    with open(os.path.join(HERE, "python_startup.py")) as file:
        startup = file.read()
    try:
        write(module, "%s\n\nrun(os.fsdecode(%r))\n" % (startup, os.fsencode(HERE)))
        py_compile.compile(module, cache, doraise=True)
        write(pth, PTH)
    except OSError as failure:
        fail("%s: %s; enable it as the owner of that folder, or in a virtual environment: nccl-redirect python --enable VENV/bin/python"
             % (failure.filename, failure.strerror))
    preload = works()
    if preload is None:
        remove(folder)
        fail("a Python of %s does not load the preload library (nccl-redirect doctor tells why); nothing was changed" % sys.prefix)
    print("enabled for %s: with a variable of nccl-redirect set, it starts with %s" % (sys.executable, preload))


def disable():
    """Remove the files from every folder where they would count."""
    was = enabled()
    for folder in folders():
        remove(folder)
    print("%s for %s" % ("disabled" if was else "was not enabled", sys.executable))


def status():
    """Tell, and end with 1 where it is not enabled or has no effect."""
    was = enabled()
    preload = works() if was else None
    if preload:
        print("enabled for %s by %s: %s" % (sys.executable, was[0], preload))
    elif was:
        fail("enabled for %s by %s, but without effect; enable it again" % (sys.executable, was[0]))
    else:
        print("not enabled for %s; nccl-redirect python --enable does it" % sys.executable)
        sys.exit(1)


ACTIONS = {"--enable": enable, "--disable": disable, "--status": status}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ACTIONS:
        fail("python: one of %s" % ", ".join(ACTIONS))
    ACTIONS[sys.argv[1]]()
