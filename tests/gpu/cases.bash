# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared with tests/gpu/run
# How a case is run and judged. Sourced by tests/gpu/run.
#
# Every process of a program prints "proof: version=... maps=... result=...": the NCCL's own answer and the process map.
# A case with the shim passes if all of them name the chosen file and no other, with its version, and NCCL's banner
# agrees.

report() { # report ok|FAIL|SKIP NAME [detail]
    printf '%-4s  %s%s\n' "$1" "$2" "${3:+: $3}"
    printf '%s %s %s%s\n' "$step" "$1" "$2" "${3:+: $3}" >>"$NCR_GPU_LOGS/cases.txt"
}

report_failed() { # report_failed NAME LOG detail
    report FAIL "$1" "$3"
    {
        grep -m 6 -E 'Error|ERROR|error:' "$2"
        echo ...
        tail -n 15 "$2"
    } | sed 's/^/      /'
}

# within SECONDS COMMAND...: the process group is ended after the limit
within() {
    local seconds=$1
    shift
    timeout --kill-after=5 "$seconds" "$@"
}

with_shim() { # with_shim BACKEND SECONDS COMMAND...
    local backend=$1 seconds=$2
    shift 2
    within "$seconds" env LD_PRELOAD="${LD_PRELOAD:+$LD_PRELOAD:}$shim" NCCL_REDIRECT="${value[$backend]}" NCCL_DEBUG=VERSION "$@"
}

# The very same file, by the loader's usual search.
direct() { # direct BACKEND SECONDS COMMAND...
    local backend=$1 seconds=$2 folder=$programs/direct-$1
    shift 2
    mkdir -p "$folder" && ln -sfn "${file[$backend]}" "$folder/libnccl.so.2"
    within "$seconds" env LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" NCCL_DEBUG=VERSION "$@"
}

proofs() { grep -ao '^proof: .*' "$1"; }

field() { # field KEY: of each proof line on stdin
    sed -n "s/.* $1=\([^ ]*\).*/\1/p" | sort -u | paste -sd'|'
}

banner() { # NCCL's own, printed when a communicator is made
    grep -aoE 'NCCL version [0-9]+\.[0-9]+\.[0-9]+' "$1" | sort -u | sed 's/NCCL version //' | paste -sd'|'
}

# Prints what is wrong with a log, nothing if all is well.
fault_of() { # fault_of LOG STATUS PROOFS VERSION FILE
    local log=$1 status=$2 wanted=$3 version=$4 path=$5 lines
    lines=$(proofs "$log")
    if [ "$status" = 124 ]; then
        echo "killed at the time limit"
    elif [ "$(grep -c . <<<"$lines")" != "$wanted" ]; then
        echo "$(grep -c . <<<"$lines") of $wanted proofs, exit status $status"
    elif [ "$(field result <<<"$lines")" != right ]; then
        echo "a result is $(field result <<<"$lines")"
    elif [ "$status" != 0 ]; then
        echo "exit status $status"
    elif [ -n "$version" ] && [ "$(field version <<<"$lines")" != "$version" ]; then
        echo "NCCL answers $(field version <<<"$lines"), chosen was $version"
    elif [ -n "$path" ] && [ "$(field maps <<<"$lines")" != "$path" ]; then
        echo "mapped: $(field maps <<<"$lines"), chosen was $path"
    elif [ -n "$version" ] && [ -n "$(banner "$log")" ] && [ "$(banner "$log")" != "$version" ]; then
        echo "NCCL's banner says $(banner "$log"), chosen was $version"
    fi
}

# With the shim: every process proves that BACKEND was active, and the only NCCL.
chosen() { # chosen NAME BACKEND PROOFS SECONDS COMMAND...
    local name=$1-$2 backend=$2 wanted=$3 log status fault
    log=$NCR_GPU_LOGS/$name.log
    if [ -z "${file[$backend]:-}" ]; then
        report SKIP "$name" "this machine has no NCCL of the kind \"$backend\""
        return
    fi
    with_shim "$backend" "${@:4}" >"$log" 2>&1
    status=$?
    fault=$(fault_of "$log" $status "$wanted" "${version[$backend]}" "${file[$backend]}")
    if [ -n "$fault" ]; then
        report_failed "$name" "$log" "$fault"
    else
        report ok "$name" "NCCL ${version[$backend]} alone, proofs: $wanted, banner: $(banner "$log")"
    fi
}

# Without the shim: right results, and the answer of another NCCL than at least one of those chosen.
control() { # control NAME PROOFS SECONDS COMMAND...
    local name=$1-control wanted=$2 log status fault answer backend other=()
    log=$NCR_GPU_LOGS/$name.log
    within "$3" env NCCL_DEBUG=VERSION "${@:4}" >"$log" 2>&1
    status=$?
    if grep -q 'error while loading shared libraries: libnccl' "$log"; then
        report SKIP "$name" "without the shim the loader finds no libnccl.so.2 here"
        return
    fi
    fault=$(fault_of "$log" $status "$wanted" '' '')
    if [ -n "$fault" ]; then
        report_failed "$name" "$log" "$fault"
        return
    fi
    answer="$(proofs "$log" | field version) $(proofs "$log" | field maps)"
    for backend in "${backends[@]}"; do
        [ -z "${file[$backend]:-}" ] || [ "$answer" = "${version[$backend]} ${file[$backend]}" ] || other+=("$backend")
    done
    if [ ${#other[@]} = 0 ]; then
        report SKIP "$name" "answers as what was chosen ($answer): only one NCCL is here, so this shows nothing"
    else
        report ok "$name" "without the shim $answer, other than ${other[*]}"
    fi
}

# Both backends, and the control.
all_ways() { # all_ways NAME PROOFS SECONDS COMMAND...
    local backend
    for backend in "${backends[@]}"; do
        chosen "$1" "$backend" "${@:2}"
    done
    control "$@"
}

# Prints a table of ratios, shim to direct, and keeps it; fails the case where a limit was given and is passed.
ratios() { # ratios NAME ARGUMENTS-OF-RATIOS.PY...
    local name=$1
    shift
    if "$python" tests/gpu/ratios.py "$@" >"$NCR_GPU_LOGS/$name.table.log" 2>&1; then
        report ok "$name"
    else
        report FAIL "$name" "see the table"
    fi
    tee -a "$NCR_GPU_LOGS/measured.txt" <"$NCR_GPU_LOGS/$name.table.log"
}
