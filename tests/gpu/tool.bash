# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared with tests/gpu/run
# The step "tool": nccl-redirect itself before real launchers and frameworks. Sourced by tests/gpu/run.

steps+=(tool)
about[tool]="nccl-redirect run, ps and doctor with torchrun, mpirun, torch, CuPy and JAX"
limit[tool]=300

tool=${NCR_TOOL:-$build/nccl-redirect}

with_tool() { # with_tool NAME BACKEND PROOFS SECONDS COMMAND...: as `chosen`, launched by `nccl-redirect run`
    local name=$1-$2 backend=$2 wanted=$3 log=$NCR_GPU_LOGS/$1-$2.log fault
    within "$4" env NCCL_DEBUG=VERSION "$tool" run --use "$backend" -- "${@:5}" >"$log" 2>&1
    fault=$(fault_of "$log" $? "$wanted" "${version[$backend]}" "${file[$backend]}")
    if [ -n "$fault" ]; then
        report_failed "$name" "$log" "$fault"
    else
        report ok "$name" "NCCL ${version[$backend]} alone, proofs: $wanted"
    fi
}

# mpirun says rank and size by names of its own.
torch_by_mpi() {
    RANK=$OMPI_COMM_WORLD_RANK LOCAL_RANK=$OMPI_COMM_WORLD_LOCAL_RANK WORLD_SIZE=$OMPI_COMM_WORLD_SIZE \
        MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$python" tests/gpu/torch_ranks.py
}

# While ranks run, ps must show the chosen file for each.
watch_ps() {
    local log=$NCR_GPU_LOGS/tool-ps.log most=0 seen
    "$tool" run --use system -- bash -c torch_in >"$NCR_GPU_LOGS/tool-ps-run.log" 2>&1 &
    local running=$!
    while kill -0 $running 2>/dev/null; do
        "$tool" ps >"$log.now" 2>&1
        seen=$(grep -cF "${file[system]}" "$log.now")
        if [ "$seen" -gt "$most" ]; then
            cp "$log.now" "$log"
            most=$seen
        fi
        sleep 0.5
    done
    wait $running
    if [ "$most" -ge "$ranks" ]; then
        report ok tool-ps "ps named ${file[system]} for $most processes at once"
    else
        report_failed tool-ps "$log.now" "ps named ${file[system]} for $most processes at most"
    fi
}

doctor_of() { # doctor_of NAME COMMAND...: doctor runs the command and reports what was active
    local name=tool-doctor-$1 log=$NCR_GPU_LOGS/tool-doctor-$1.log line
    shift
    NCCL_REDIRECT=system within 120 "$tool" doctor -- "$@" >"$log" 2>&1
    line=$(grep -m 1 "^ok  *active  .*NCCL ${version[system]} is active" "$log")
    if [ -n "$line" ] && ! grep -q '^FAIL' "$log"; then
        report ok "$name" "$line"
    else
        report_failed "$name" "$log" "no line that NCCL ${version[system]} was active, or a FAIL"
    fi
}

step_tool() {
    skip_if_host
    [ -x "$tool" ] || { report SKIP tool "nccl-redirect is not built here ($tool)"; return; }
    "$tool" --version >/dev/null 2>&1 || { report SKIP tool "$tool does not run here"; return; }
    export -f torch_in torch_by_mpi
    export python ranks port=$((20000 + RANDOM % 20000)) OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
    export XLA_PYTHON_CLIENT_PREALLOCATE=false
    "$tool" doctor >"$NCR_GPU_LOGS/tool-doctor.log" 2>&1
    "$tool" list >"$NCR_GPU_LOGS/tool-list.log" 2>&1
    if [ -n "$torch_folder" ]; then
        with_tool tool-torchrun system $((2 * ranks)) 120 bash -c torch_in
        with_tool tool-torchrun torch $((2 * ranks)) 120 bash -c torch_in
        if command -v mpirun >/dev/null; then
            with_tool tool-mpirun system $((2 * ranks)) 120 mpirun --allow-run-as-root --oversubscribe -np "$ranks" bash -c torch_by_mpi
        else
            report SKIP tool-mpirun "no mpirun here"
        fi
        watch_ps
        doctor_of torch bash -c torch_in
    fi
    ! has_package cupy || doctor_of cupy "$python" tests/gpu/cupy_ranks.py "$ranks"
    ! has_package jax || [ "$ranks" -lt 2 ] || doctor_of jax "$python" tests/gpu/jax_ranks.py "$ranks"
}
