# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared with tests/gpu/run
# The step "trace": calls of a real torch are recorded, at what price, and hangs are named. Sourced by tests/gpu/run.

steps+=(trace)
about[trace]="torch with its calls recorded: losses, step and replay times; a rank that skips a call, or is killed, is named"
limit[trace]=480

step_trace() {
    local log=$NCR_GPU_LOGS/trace.log name result text
    skip_if_host
    [ "$ranks" -ge 2 ] || { report SKIP trace "needs two GPUs"; return; }
    has_package torch || { report SKIP trace "no torch"; return; }
    NCR_GPU_RANKS=$ranks "$python" tests/gpu/trace_ranks.py drive "${NCR_TOOL:-$build/nccl-redirect}" "$shim" "${file[torch]:-${file[system]}}" \
        "$NCR_GPU_LOGS/trace" 2>&1 | tee "$log" | while read -r name result text; do
        case $result in
        ok) report ok "trace-$name" "$text" ;;
        FAIL) report FAIL "trace-$name" "$text" ;;
        esac
    done
}
