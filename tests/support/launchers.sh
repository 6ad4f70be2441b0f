# SPDX-License-Identifier: Apache-2.0
# Two ranks of an unmodified NCCL program under a real launcher. The NCCL over host memory is chosen by its path; who
# loses the preload gets the real one that LD_LIBRARY_PATH names, says another version and cannot add up without a GPU.
# Sourced after cases.sh.
# shellcheck shell=bash disable=SC2154,SC2034 # scratch and NCR_BUILD are of cases.sh; the variables are for the tests
ranks=$NCR_BUILD/tests/programs/linked_ranks
tool=$NCR_BUILD/nccl-redirect
chosen=$NCR_BUILD/hostmem/plain/libnccl.so.2
export LD_LIBRARY_PATH=$NCR_BUILD/nccl/cu12-2.21.5/lib HOSTMEM_TIMEOUT_S=20
redirected='rank=0 size=2 version=22809 all-reduce=right
rank=1 size=2 version=22809 all-reduce=right'
lost='rank=0 size=2 version=22105 all-reduce=failed
rank=1 size=2 version=22105 all-reduce=failed'

# ranks_say WANTED COMMAND...: what the ranks print, in order of ranks. %program in the command is the program and its
# arguments.
ranks_say() {
    local wanted=$1 command=()
    shift
    rm -f "$scratch/id"
    for word in "$@"; do
        if [ "$word" = %program ]; then command+=("$ranks" "$scratch/id"); else command+=("$word"); fi
    done
    same "$wanted" "$("${command[@]}" 2>"$scratch/err" | sort)" || {
        cat "$scratch/err"
        return 1
    }
}

nothing_on_stderr() { # but that Slurm let the job wait for the one before
    same '' "$(grep -vE '^srun: job [0-9]+ (queued|has been allocated)' "$scratch/err")"
}

with_preload() { # COMMAND...: as a user who sets the variables by hand
    LD_PRELOAD=$shim NCCL_REDIRECT=$chosen "$@"
}

# Start a command whose ranks stay, ask `nccl-redirect ps` for the processes that run the program, let them end.
# Prints for each: preload, active version, and what ps finds wrong; the exit code of ps follows.
while_running() { # RANK-COUNT COMMAND...
    local count=$1 pids=() status=0 job
    shift
    rm -f "$scratch/id" "$scratch/gate" "$scratch/ranks"
    "$@" >"$scratch/ranks" 2>/dev/null &
    job=$!
    for _ in $(seq 300); do
        [ "$(grep -c all-reduce "$scratch/ranks")" != "$count" ] || break
        sleep 0.1
    done
    mapfile -t pids < <(pgrep -f "^$ranks $scratch/id $scratch/gate")
    "$tool" ps --json "${pids[@]}" >"$scratch/ps" || status=$?
    touch "$scratch/gate"
    wait "$job" || true
    python3 - "$scratch/ps" <<'END'
import json, sys
for process in json.load(open(sys.argv[1]))["processes"]:
    print(process["preload"], process["version"], process["finding"])
END
    echo "exit $status"
}
