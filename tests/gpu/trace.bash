# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared with tests/gpu/run
# Calls of a real torch are recorded: the step "trace", in which hangs are named, and "cost". Sourced by tests/gpu/run.

steps+=(trace cost)
about[trace]="torch with its calls recorded: a rank that skips a call, or is killed, is named; callers are told apart"
about[cost]="torch with its calls recorded and not, in turn: losses, step and replay times"
limit[trace]=300 limit[cost]=$((2 * ${NCR_GPU_COST_SECONDS:-240} + 120))

# Each line "NAME ok|FAIL TEXT" that a driver prints is a case.
recorded_torch() { # recorded_torch PROGRAM [ARGUMENT]
    local name result text nccl=${file[torch]:-${file[system]}}
    skip_if_host
    [ "$ranks" -ge 2 ] || { report SKIP "$step" "needs two GPUs"; return; }
    has_package torch || { report SKIP "$step" "no torch"; return; }
    NCR_GPU_RANKS=$ranks "$python" "tests/gpu/$1" drive "${NCR_TOOL:-$build/nccl-redirect}" "$shim" "$nccl" \
        "$NCR_GPU_LOGS/$step" "${@:2}" 2>&1 | tee "$NCR_GPU_LOGS/$step.log" | while read -r name result text; do
        case $result in
        ok) report ok "$step-$name" "$text" ;;
        FAIL) report FAIL "$step-$name" "$text" ;;
        esac
    done
}

step_trace() {
    recorded_torch trace_ranks.py
}

step_cost() {
    recorded_torch trace_cost.py "${NCR_GPU_COST_SECONDS:-240}"
}
