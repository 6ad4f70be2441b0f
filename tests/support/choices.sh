# SPDX-License-Identifier: Apache-2.0
# For tests of the choice that are scripts: layouts as package managers leave them, built with the compiler, and what a
# command gets in each way of choosing, the command alone beside it. Source support/cases.sh first.
# shellcheck shell=bash disable=SC2034,SC2154 # the variables are for the tests, and come from cases.sh
command -v "${CC:-gcc}" >/dev/null || skip "there is no compiler"
newest=$root/build/nccl/cu12-2.32.3/lib/libnccl.so.2  # 23203
middle=$root/build/nccl/cu12-2.21.5/lib/libnccl.so.2  # 22105
oldest=$root/build/nccl/cu11-2.14.3/lib/libnccl.so.2  # 21403
rccl=$NCR_BUILD/hostmem/rccl/librccl.so.1             # 22806
unset LD_LIBRARY_PATH NCCL_HOME CUDA_HOME VIRTUAL_ENV CONDA_PREFIX PYTHONPATH LIBTORCH Torch_DIR
export HOME=$scratch

# A folder with a link to a library in it.
library_in() { # FOLDER LIBRARY [NAME]
    mkdir -p "$1"
    ln -sf "$2" "$1/${3:-libnccl.so.2}"
}

# NVIDIA's wheel in a package folder.
wheel_in() { # SITE LIBRARY
    library_in "$1/nvidia/nccl/lib" "$2"
}

compile() { # OUTPUT SOURCE FLAG...
    local output=$1 source=$2
    shift 2
    mkdir -p "$(dirname "$output")"
    echo "$source" >"$scratch/source.c"
    "${CC:-gcc}" -o "$output" "$scratch/source.c" "$@"
}

# A program, and libraries, that answer which NCCL they are linked with.
ask='int ncclGetVersion(int *); int served(void) { int version = 0; ncclGetVersion(&version); return version; }'
main='#include <stdio.h>
int served(void); int main(void) { printf("%d\n", served()); return 0; }'
whole="$ask
$main"

linked() { # OUTPUT NCCL FLAG...: a shared library; the NCCL only names what it needs
    local output=$1 nccl=$2
    shift 2
    compile "$output" "$ask" -shared -fPIC -L"$(dirname "$nccl")" -l:"$(basename "$nccl")" "$@"
}

program_of() { # OUTPUT FLAG...: a program that calls served() of a library
    local output=$1
    shift
    compile "$output" "$main" -Wl,--allow-shlib-undefined "$@"
}

linked_program() { # OUTPUT NCCL FLAG...: a program that is linked with an NCCL itself
    local output=$1 nccl=$2
    shift 2
    compile "$output" "$whole" -L"$(dirname "$nccl")" -l:"$(basename "$nccl")" -Wl,--allow-shlib-undefined "$@"
}

# A torch whose libtorch_cuda.so is linked with an NCCL.
torch_in() { # SITE NCCL FLAG...
    local site=$1 nccl=$2
    shift 2
    linked "$site/torch/lib/libtorch_cuda.so" "$nccl" "$@"
    : >"$site/torch/__init__.py"
}

# The version that a command prints last, or "none".
version_from() { # ASSIGNMENT... -- COMMAND...
    local said
    said=$(env "$@" 2>"$scratch/.said" | tail -n 1)
    echo "${said:-none}"
}

# What a command gets alone, and in each way of choosing: "alone=… auto=… torch=… program=… system=…", where torch is
# strict. With `preload` another preload.
answers() { # COMMAND...
    local with="LD_PRELOAD=${preload:-$shim}" strict=NCCL_REDIRECT_FALLBACK=0
    echo "alone=$(version_from "$@") auto=$(version_from "$with" "$@")" \
        "torch=$(version_from "$with" NCCL_REDIRECT=torch $strict "$@")" \
        "program=$(version_from "$with" NCCL_REDIRECT=program $strict "$@")" \
        "system=$(version_from "$with" NCCL_REDIRECT=system "$@")"
}

# The same without the system's, where that depends on the machine.
own_answers() {
    answers "$@" | sed 's/ system=.*//'
}
