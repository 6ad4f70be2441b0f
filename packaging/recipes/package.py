# SPDX-License-Identifier: Apache-2.0
"""Spack: put this into packages/nccl_redirect/package.py of a repository of your own, with the address of your clone.

Not run.
"""

from spack.package import *


class NcclRedirect(MakefilePackage):
    """Decides at run time which NCCL unmodified programs use: a preload library, and a tool that explains the choice."""

    git = "file:///path/to/a/clone/of/nccl-redirect"

    license("Apache-2.0")

    version("main", branch="main")

    depends_on("c", type="build")
    depends_on("gmake", type="build")

    conflicts("platform=darwin")
    conflicts("platform=windows")

    def build(self, spec, prefix):
        make("CC=" + spack_cc)

    def install(self, spec, prefix):
        make("install", "CC=" + spack_cc, "PREFIX=" + prefix)

    def setup_run_environment(self, env):
        env.append_path("LD_PRELOAD", join_path(self.prefix.lib, "nccl-redirect", "libnccl_redirect.so"))
