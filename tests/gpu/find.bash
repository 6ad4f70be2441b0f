# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared with tests/gpu/run
# What this machine has: GPUs, Python, and the NCCLs to choose from. Sourced by tests/gpu/run.
# Found without the shim and without importing anything, so that it can be compared with what the shim finds.

root=$PWD
build=$(realpath -m "${NCR_BUILD:-build}")
NCR_GPU_LOGS=$(realpath -m "${NCR_GPU_LOGS:-$build/gpu-logs}")
programs=$build/gpu
shim=$build/libnccl_redirect.so
backends=(torch system)
declare -A file=() version=() value=() # of each backend: the real path, its own answer, what NCCL_REDIRECT is set to
gpus=0 ranks=0 python='' cuda='' torch_folder='' host_memory=0

# Prints the folder of a Python package, "" if there is none. Nothing is imported.
package_folder() {
    "$1" -c 'import importlib.util as u, sys
spec = u.find_spec(sys.argv[1])
print(list(spec.submodule_search_locations)[0] if spec else "")' "$2" 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${NCR_PYTHON:+"$NCR_PYTHON"} python3 /opt/torch/.venv/bin/python3 "$root/build/torch/bin/python3"; do
        candidate=$(command -v "$candidate") || continue
        [ -n "$python" ] || python=$candidate
        torch_folder=$(package_folder "$candidate" torch)
        if [ -n "$torch_folder" ]; then
            python=$candidate
            break
        fi
    done
    # The python3 that C programs find on PATH is to be the same.
    [ -z "$python" ] || PATH=$(dirname "$python"):$PATH
}

count_gpus() {
    "$python" -c 'import ctypes
driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
print(0 if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) else count.value)' 2>/dev/null || echo 0
}

# The version that a library file answers with; it is opened by its path, without the shim.
version_of() {
    "$python" -c 'import ctypes, sys
code = ctypes.c_int()
ctypes.CDLL(sys.argv[1]).ncclGetVersion(ctypes.byref(code))
v, t = code.value, 10000 if code.value >= 10000 else 1000
print(f"{v // t}.{v % t // 100}.{v % 100}")' "$1"
}

first_file() {
    local candidate
    for candidate in "$@"; do
        if [ -f "$candidate" ]; then
            realpath "$candidate"
            return
        fi
    done
}

find_backends() {
    local site named backend
    site=${torch_folder%/torch}
    if [ "$host_memory" = 1 ]; then
        NCR_TORCH_NCCL=$build/hostmem/plain/libnccl.so.2 NCR_SYSTEM_NCCL=$build/hostmem/old/libnccl.so.2
        export LD_LIBRARY_PATH=$build/hostmem/old # what the loader finds without the shim
    fi
    file[torch]=$(first_file ${NCR_TORCH_NCCL:+"$NCR_TORCH_NCCL"} ${torch_folder:+"$site/nvidia/nccl/lib/libnccl.so.2"} \
        ${torch_folder:+"$torch_folder/lib/libnccl.so.2"})
    file[system]=$(first_file ${NCR_SYSTEM_NCCL:+"$NCR_SYSTEM_NCCL"} \
        "$(/sbin/ldconfig -p | awk '/libnccl\.so\.2 / && /x86-64|aarch64/ {print $NF; exit}')" \
        /usr/lib/*-linux-gnu/libnccl.so.2)
    for backend in "${backends[@]}"; do
        [ -n "${file[$backend]}" ] || continue
        version[$backend]=$(version_of "${file[$backend]}")
        named=NCR_${backend^^}_NCCL
        value[$backend]=$backend
        [ -z "${!named:-}" ] || value[$backend]=${file[$backend]}
    done
}

find_all() {
    host_memory=$1
    find_python
    cuda=${CUDA_HOME:-/usr/local/cuda}
    gpus=$(count_gpus)
    [ "$host_memory" = 0 ] || gpus=${NCR_GPU_RANKS:-2}
    ranks=$((gpus < ${NCR_GPU_RANKS:-2} ? gpus : ${NCR_GPU_RANKS:-2}))
    find_backends
}

describe() {
    local backend
    date -u '+%Y-%m-%d'
    if [ "$host_memory" = 1 ]; then
        echo "no GPU: rehearsal in host memory; times mean nothing"
    elif [ "$gpus" != 0 ]; then
        nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null
    fi
    echo "$gpus GPUs, $ranks ranks; Python: ${python:-none}; torch: ${torch_folder:-none}"
    for backend in "${backends[@]}"; do
        printf '%-7s NCCL %s  %s\n' "$backend" "${version[$backend]:-none}" "${file[$backend]:-}"
    done
}

# For the steps, which run in processes of their own.
save_found() {
    declare -p file version value gpus ranks python cuda torch_folder host_memory PATH >"$NCR_GPU_LOGS/found.bash"
}

in_list() {
    local wanted=$1 item
    shift
    for item in "$@"; do
        [ "$item" != "$wanted" ] || return 0
    done
    return 1
}
