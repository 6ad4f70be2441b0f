# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared with tests/gpu/run
# The step `route`: torch's NCCL and the system's side by side in one process. Sourced by tests/gpu/run.

steps+=(route)
about[route]="torch's NCCL and the system's in one process: C and torch, one graph with both, cost of a routed call"
limit[route]=300

build_route() {
    local where=("-I$cuda/include" "-L$cuda/lib64" "-Wl,-rpath,$cuda/lib64" -lcudart) device=cuda flags=(-std=gnu11 -O2 -D_GNU_SOURCE)
    [ "$host_memory" = 0 ] || { device=host where=(); }
    compile route gcc "${flags[@]}" tests/gpu/route.c "tests/gpu/device_$device.c" -o "$programs/route" "$shim" "${where[@]}" -ldl
    compile pending gcc "${flags[@]}" tests/gpu/pending.c "tests/gpu/device_$device.c" -o "$programs/pending" "$shim" "${where[@]}" -ldl
    compile route_cost gcc "${flags[@]}" bench/route.c -o "$programs/route_cost" "$shim" -ldl
    compile per_communicator gcc -O2 -Iinclude examples/per_communicator.c -o "$programs/per_communicator" "$shim" -ldl
}

# Rewrites a log's paths as the files that they lead to, by which the backends are known.
with_real_paths() { # with_real_paths LOG
    local path
    while read -r path; do
        sed -i "s#\([= ]\)$path\([: ]\)#\1$(realpath -m "$path")\2#" "$1"
    done < <(grep -aoE '[= ]/[^ :]*libnccl\.so[^ :]*' "$1" | cut -c 2- | sort -u)
}

# Prints what is wrong: each rank says of both communicators which NCCL they used, and both banners were printed.
route_fault() { # route_fault LOG STATUS RANKS
    local log=$1 backend lines banners
    with_real_paths "$log"
    [ "$2" = 0 ] || { echo "exit status $2"; return; }
    for backend in "${backends[@]:0:2}"; do
        lines=$(grep -a "^route: version=${version[$backend]} path=${file[$backend]} " "$log")
        if [ "$(grep -c . <<<"$lines")" != "$3" ] || [ "$(field result <<<"$lines")" != right ]; then
            echo "not $3 times right on NCCL ${version[$backend]} (${file[$backend]})"
        fi
    done
    banners=$(printf '%s\n' "${version[torch]}" "${version[system]}" | sort -u | paste -sd'|')
    [ "$(banner "$log")" = "$banners" ] || echo "banners of $(banner "$log"), expected $banners"
}

route_case() { # route_case NAME RANKS SECONDS COMMAND...
    local log=$NCR_GPU_LOGS/$1.log fault
    with_shim torch "${@:3}" >"$log" 2>&1
    fault=$(route_fault "$log" $? "$2")
    if [ -n "$fault" ]; then
        report_failed "$1" "$log" "$fault"
    else
        report ok "$1" "NCCL ${version[torch]} and ${version[system]}, both banners"
    fi
}

# Nanoseconds of ncclCommCount on the second library, through the preload and by its own address, in one process.
route_cost() {
    local log=$NCR_GPU_LOGS/route-cost.log i line
    for i in 1 2 3; do
        NCCL_REDIRECT_RULES="open:${file[system]}=${file[system]}" with_shim torch 60 "$programs/route_cost" "${file[system]}" \
            >"$log" 2>&1
        line=$(grep -aE '^[0-9.]+ [0-9.]+$' "$log")
        if [ -z "$line" ]; then
            report_failed route-cost "$log" "no times"
            return
        fi
        awk -v n="$i" '{printf "routed ncclCommCount, process %d: %.1f ns, direct %.1f ns, %+.1f ns\n", n, $1, $2, $1 - $2}' <<<"$line" |
            tee -a "$NCR_GPU_LOGS/measured.txt"
    done
    report ok route-cost
}

route_example() { # route_example NAME COMMAND...
    local log=$NCR_GPU_LOGS/$1.log
    with_shim torch 60 "${@:2}" "${value[torch]}" "${value[system]}" >"$log" 2>&1
    with_real_paths "$log"
    if [ "$(grep -ac ': all-reduce right$' "$log")" = 2 ] && grep -aqF "${file[torch]}:" "$log" && grep -aqF "${file[system]}:" "$log"; then
        report ok "$1"
    else
        report_failed "$1" "$log" "not right on both"
    fi
}

route_torch() {
    "$python" -m torch.distributed.run --nproc-per-node "$ranks" --master-addr 127.0.0.1 \
        --master-port $((20000 + RANDOM % 20000)) tests/gpu/route_ranks.py "${value_torch:?}" "${value_system:?}"
}

step_route() {
    if [ -z "${file[torch]:-}" ] || [ -z "${file[system]:-}" ] || [ "${file[torch]}" = "${file[system]}" ]; then
        report SKIP route "this machine has only one NCCL"
        return
    fi
    build_route
    route_case route-c 1 60 "$programs/route" "$ranks" "${value[torch]}" "${value[system]}"
    route_case route-c-swapped 1 60 "$programs/route" "$ranks" "${value[system]}" "${value[torch]}"
    if [ "$ranks" -gt 1 ]; then
        route_case route-c-halves 1 60 "$programs/route" "$ranks" "${value[torch]}" "${value[system]}" halves
    else
        report SKIP route-c-halves "needs two ranks"
    fi
    route_case route-pending 1 60 "$programs/pending" "${value[torch]}" "${value[system]}"
    route_case route-pending-swapped 1 60 "$programs/pending" "${value[system]}" "${value[torch]}"
    route_cost
    route_example route-example-c "$programs/per_communicator"
    if [ "$host_memory" = 1 ]; then
        report SKIP route-torch "needs a GPU"
        return
    fi
    [ -n "$torch_folder" ] || { report SKIP route-torch "no Python with torch was found (NCR_PYTHON)"; return; }
    export -f route_torch
    export python ranks OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 value_torch=${value[torch]} value_system=${value[system]}
    route_case route-torch "$ranks" 200 bash -c route_torch
    route_example route-example-python "$python" examples/per_communicator.py
}
