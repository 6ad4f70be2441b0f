# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared with tests/gpu/run
# The steps, most important first. Sourced by tests/gpu/run.

steps=(build c graph torch capture libtorch jax cupy perf)
declare -A about=(
    [build]="compile the programs"
    [c]="plain C, one process for all GPUs and one for each: five collectives"
    [graph]="C: the collectives captured, replayed 1000 times; memory and replay time with and without the shim"
    [torch]="torch under torchrun: collectives, a captured all-reduce replayed 1000 times, memory and replay time"
    [capture]="the first NCCL call of a process comes while a stream is capturing"
    [libtorch]="a C++ program with libtorch's ProcessGroupNCCL"
    [jax]="JAX: psum and all_gather over the devices of one process"
    [cupy]="CuPy: its NCCL bindings, all devices in one process"
    [perf]="latency at 4 bytes, bus bandwidth at 256 MiB, graph replay: the shim and direct calls in turn"
)
declare -A limit=([build]=180 [c]=150 [graph]=180 [torch]=420 [capture]=150 [libtorch]=300 [jax]=240 [cupy]=180 [perf]=300)

has_package() {
    [ -n "$(package_folder "$python" "$1")" ]
}

skip_if_host() {
    [ "$host_memory" = 0 ] || { report SKIP "$step" "needs a GPU"; exit 0; }
}

# ---- build ----

compile() { # compile NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$NCR_GPU_LOGS/build-$name.log" 2>&1; then
        report ok "build-$name"
    else
        report_failed "build-$name" "$NCR_GPU_LOGS/build-$name.log" "$*"
    fi
}

# The shim has NCCL's names and its SONAME: programs linked with it look for libnccl.so.2 when they start, like all
# others.
step_build() {
    local flags=(-std=gnu11 -O2 -D_GNU_SOURCE) device=cuda
    local where=("-I$cuda/include" "-L$cuda/lib64" "-Wl,-rpath,$cuda/lib64" -lcudart)
    [ "$host_memory" = 0 ] || { device=host where=('-DLARGE=((size_t)4<<20)'); }
    mkdir -p "$programs"
    [ -f "$shim" ] || compile shim make --no-print-directory BUILD="$build" all
    for name in collectives perf; do
        compile $name gcc "${flags[@]}" "tests/gpu/$name.c" tests/gpu/proof.c "tests/gpu/device_$device.c" -o "$programs/$name" \
            "$shim" "${where[@]}" -ldl
    done
    compile all_reduce gcc "${flags[@]}" examples/all_reduce.c -o "$programs/all_reduce" "$shim" -ldl
    [ "$host_memory" = 1 ] ||
        compile first_in_capture gcc "${flags[@]}" tests/gpu/first_in_capture.c tests/gpu/proof.c -o "$programs/first_in_capture" \
            "${where[@]}" -ldl
}

# ---- what runs beside the steps: reading torch's libraries from a cold disk, and g++ over its headers, take a minute
# each ----

build_libtorch() {
    local site=${torch_folder%/torch}
    g++ -std=c++20 -O1 -w -DUSE_C10D_NCCL -DUSE_DISTRIBUTED -I"$torch_folder/include" \
        -I"$torch_folder/include/torch/csrc/api/include" -I"$site/nvidia/nccl/include" -I"$cuda/include" \
        -c tests/gpu/libtorch_ranks.cpp -o "$programs/libtorch_ranks.o" &&
        gcc -std=gnu11 -D_GNU_SOURCE -O2 -c tests/gpu/proof.c -o "$programs/proof.o" &&
        g++ "$programs/libtorch_ranks.o" "$programs/proof.o" -o "$programs/libtorch_ranks" \
            -L"$torch_folder/lib" -Wl,-rpath,"$torch_folder/lib" -Wl,--no-as-needed -ltorch -ltorch_cuda -ltorch_cpu -lc10_cuda -lc10 \
            "${file[torch]}" -Wl,-rpath,"$(dirname "${file[torch]}")" -L"$cuda/lib64" -lcudart -Wl,--allow-shlib-undefined
}

background=''
start_background() {
    [ -n "$torch_folder" ] && [ "$host_memory" = 0 ] || return
    if in_list torch "$@" || in_list libtorch "$@" || in_list jax "$@"; then
        cat "$torch_folder"/lib/*.so "${torch_folder%/torch}"/nvidia/*/lib/*.so.* >/dev/null 2>&1 &
        background=$!
    fi
    in_list libtorch "$@" || return
    rm -f "$programs/libtorch_ranks" "$programs/libtorch.done"
    (
        build_libtorch >"$NCR_GPU_LOGS/build-libtorch.log" 2>&1
        echo $? >"$programs/libtorch.done"
    ) &
    background="$background $!"
}

stop_background() {
    # shellcheck disable=SC2086
    [ -z "$background" ] || kill $background 2>/dev/null
}

# ---- C ----

demo_program() { # the small program of `make demo`, under BACKEND
    local backend=$1 name=c-all_reduce-$1 log
    log=$NCR_GPU_LOGS/$name.log
    [ -n "${file[$backend]:-}" ] || return
    with_shim "$backend" 60 "$programs/all_reduce" >"$log" 2>&1
    if grep -q "^nccl=${version[$backend]} .* all-reduce=right graph=$([ "$host_memory" = 1 ] && echo no-GPU || echo right)" "$log"; then
        report ok "$name" "$(grep ^nccl= "$log")"
    else
        report_failed "$name" "$log" "not the line of version ${version[$backend]} with right sums"
    fi
}

step_c() {
    all_ways c-one-process 1 60 "$programs/collectives" -r "$ranks"
    all_ways c-processes "$ranks" 60 "$programs/collectives" -p -r "$ranks"
    for backend in "${backends[@]}"; do
        demo_program "$backend"
    done
}

# Sides in turn, so that both see the same machine.
step_graph() {
    local backend i log shim_logs direct_logs program=("$programs/collectives" -p -r "$ranks" -g 1000)
    for backend in "${backends[@]}"; do
        chosen graph-one-process "$backend" 1 60 "$programs/collectives" -r "$ranks" -g 1000
        [ -n "${file[$backend]:-}" ] || continue
        shim_logs=() direct_logs=()
        for i in 1 2 3; do
            log=$NCR_GPU_LOGS/graph-$backend-direct-$i.log
            direct "$backend" 60 "${program[@]}" >"$log" 2>&1
            direct_logs+=("$log")
            chosen "graph-$i" "$backend" "$ranks" 60 "${program[@]}"
            shim_logs+=("$NCR_GPU_LOGS/graph-$i-$backend.log")
        done
        ratios "graph-$backend-ratios" "C, graph of five collectives, $ranks ranks, NCCL ${version[$backend]} ($backend)" \
            --limit memory_mib=1.05 --direct "${direct_logs[@]}" --shim "${shim_logs[@]}"
    done
}

capture_ended() { # how the program says its capture ended; "" if it did not get there
    field capture <"$1"
}

# If NCCL itself breaks the capture in some mode, it does so without the shim too, and no more can be asked of the shim.
capture_case() { # capture_case BACKEND MODE FUNCTION call|dlopen
    local backend=$1 name=capture-$2-$3-$4-$1 log alone fault
    log=$NCR_GPU_LOGS/$name
    direct "$backend" 60 "$programs/first_in_capture" "${@:2}" >"$log-direct.log" 2>&1
    alone=$(fault_of "$log-direct.log" $? 1 "${version[$backend]}" "${file[$backend]}")
    with_shim "$backend" 60 "$programs/first_in_capture" "${@:2}" >"$log.log" 2>&1
    fault=$(fault_of "$log.log" $? 1 "${version[$backend]}" "${file[$backend]}")
    if [ -z "$fault" ]; then
        report ok "$name" "valid; without the shim: ${alone:-valid}"
    elif [ -n "$alone" ] && [ -n "$(capture_ended "$log.log")" ] &&
        [ "$(capture_ended "$log.log")" = "$(capture_ended "$log-direct.log")" ]; then
        report SKIP "$name" "NCCL itself breaks such a capture, without the shim too: $(capture_ended "$log.log")"
    else
        report_failed "$name" "$log.log" "$fault; without the shim: ${alone:-valid}"
    fi
}

step_capture() {
    skip_if_host
    local backend mode
    for backend in "${backends[@]}"; do
        [ -n "${file[$backend]:-}" ] || { report SKIP "capture-$backend" "this machine has no such NCCL"; continue; }
        for mode in thread-local global; do
            capture_case "$backend" $mode ncclGetVersion call
            capture_case "$backend" $mode ncclGetUniqueId call
            capture_case "$backend" $mode ncclGetUniqueId dlopen
        done
    done
}

# ---- frameworks ----

torch_in() {
    "$python" -m torch.distributed.run --nproc-per-node "$ranks" --master-addr 127.0.0.1 \
        --master-port $((20000 + RANDOM % 20000)) tests/gpu/torch_ranks.py
}

step_torch() {
    skip_if_host
    [ -n "$torch_folder" ] || { report SKIP torch "no Python with torch was found (NCR_PYTHON)"; return; }
    export -f torch_in
    export python ranks OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
    all_ways torch $((2 * ranks)) 200 bash -c torch_in
    # Without the shim torch uses its own NCCL: in turn, so that both sides see the same machine.
    local i shim_logs=() direct_logs=()
    for i in 1 2 3; do
        within 120 env NCCL_DEBUG=VERSION bash -c torch_in >"$NCR_GPU_LOGS/torch-direct-$i.log" 2>&1
        direct_logs+=("$NCR_GPU_LOGS/torch-direct-$i.log")
        chosen "torch-$i" torch $((2 * ranks)) 120 bash -c torch_in
        shim_logs+=("$NCR_GPU_LOGS/torch-$i-torch.log")
    done
    ratios torch-ratios "torch, captured all-reduce of 512 KiB, $ranks ranks, NCCL ${version[torch]} (torch's)" \
        --limit torch_memory_mib=1.05 --direct "${direct_logs[@]}" --shim "${shim_logs[@]}"
}

libtorch_in() { # each run needs an empty folder
    local folder
    folder=$(mktemp -d) || return
    "$programs/libtorch_ranks" "$ranks" "$folder"
    set -- $?
    rm -rf "$folder"
    return "$1"
}

step_libtorch() {
    skip_if_host
    [ -n "$torch_folder" ] || { report SKIP libtorch "no Python with torch was found (NCR_PYTHON)"; return; }
    until [ -f "$programs/libtorch.done" ]; do
        sleep 1
    done
    if [ ! -x "$programs/libtorch_ranks" ]; then
        report_failed libtorch-build "$NCR_GPU_LOGS/build-libtorch.log" "g++ failed"
        return
    fi
    export -f libtorch_in
    export programs ranks
    all_ways libtorch "$ranks" 120 bash -c libtorch_in
}

step_jax() {
    skip_if_host
    has_package jax || { report SKIP jax "no JAX in $python"; return; }
    [ "$ranks" -gt 1 ] || { report SKIP jax "one device: XLA leaves its collectives out"; return; }
    export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONDONTWRITEBYTECODE=1
    all_ways jax 1 120 "$python" tests/gpu/jax_ranks.py "$ranks"
}

step_cupy() {
    skip_if_host
    has_package cupy || { report SKIP cupy "no CuPy in $python"; return; }
    export PYTHONDONTWRITEBYTECODE=1
    all_ways cupy 1 120 "$python" tests/gpu/cupy_ranks.py "$ranks"
}

# ---- perf ----

perf_run() { # perf_run direct|with_shim BACKEND NUMBER: prints what is wrong with it
    local log=$NCR_GPU_LOGS/perf-$2-$1-$3.log pin=()
    if command -v taskset >/dev/null && [ "$(nproc)" -ge 8 ]; then
        pin=(taskset -c 2-5)
    fi
    "$1" "$2" 60 "${pin[@]}" "$programs/perf" -r "$ranks" >"$log" 2>&1
    fault_of "$log" $? 1 "${version[$2]}" "${file[$2]}"
}

step_perf() {
    local backend side i fault
    for backend in "${backends[@]}"; do
        [ -n "${file[$backend]:-}" ] || { report SKIP "perf-$backend" "this machine has no such NCCL"; continue; }
        for ((i = 1; i <= ${NCR_GPU_REPEAT:-8}; i++)); do
            for side in direct with_shim; do
                fault=$(perf_run $side "$backend" "$i")
                [ -z "$fault" ] || report_failed "perf-$side-$i" "$NCR_GPU_LOGS/perf-$backend-$side-$i.log" "$fault"
            done
        done
        ratios "perf-$backend" "all-reduce, $ranks ranks in one process, NCCL ${version[$backend]} ($backend)" \
            --direct "$NCR_GPU_LOGS/perf-$backend-direct-"*.log --shim "$NCR_GPU_LOGS/perf-$backend-with_shim-"*.log
    done
}
