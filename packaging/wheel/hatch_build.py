# SPDX-License-Identifier: Apache-2.0
"""Puts what the C compiler built, and the documents, into the wheel, and says for which systems it is.

NCR_WHEEL_BUILD names a finished build folder and NCR_WHEEL_PLATFORM its platform tag (packaging/Makefile sets both);
without them the sources around this folder are built here, for this machine alone.
"""

import os
import subprocess
import sysconfig
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TOP = Path(__file__).resolve().parents[2]

# These come with `make install`; a wheel is small.
FOR_DEVELOPERS = ("architecture.md", "measured.md")


class FilesOfTheBuild(BuildHookInterface):
    """Adds the built files under the names that they have in the wheel."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Called by hatchling before the wheel is written."""
        if version == "editable":
            raise ValueError("an editable installation has no preload library; build the wheel: make wheel")
        build = os.environ.get("NCR_WHEEL_BUILD")
        platform = os.environ.get("NCR_WHEEL_PLATFORM")
        if not build:
            build = str(TOP / "build" / "wheel-here")
            subprocess.run(["make", "-C", TOP, "-s", f"BUILD={build}", "LDFLAGS=-s", "all"], check=True)
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        build_data["pure_python"] = False
        build_data["force_include"].update({str(source): target for source, target in self.files(Path(build))})

    def files(self, build: Path):
        """Pairs of a file here and its place in the wheel."""
        own = "nccl_redirect/lib/nccl-redirect"
        for name in ("nccl_redirect.so", "rccl_redirect.so", "nccl-redirect"):
            yield build / name, f"{own}/{name}"
        yield TOP / "scripts/container-entrypoint", f"{own}/container-entrypoint"
        for name in ("python_setup.py", "python_startup.py"):
            yield TOP / "packaging/startup" / name, f"{own}/{name}"
        yield TOP / "LICENSE", "nccl_redirect/LICENSE"
        for folder, pattern, target in (
            ("include", "*.h", "include"),
            ("docs", "*.md", "docs"),
            ("docs/man", "*.[17]", "man"),  # in share/man, pip would leave empty folders behind
            ("cli/completion", "*", "completion"),
            ("examples", "*", "examples"),
        ):
            for file in sorted((TOP / folder).glob(pattern)):
                if file.name in FOR_DEVELOPERS:
                    continue
                yield file, f"nccl_redirect/{target}/{file.name}"
