# SPDX-License-Identifier: Apache-2.0
# For tests that are scripts: a case is a function that ends with `false` (or any command that fails) when it is not as
# it should be. Sourced; NCR_BUILD is the build folder. `scratch` is a fresh folder, removed at the end.
# shellcheck shell=bash disable=SC2034 # the variables are for the tests
: "${NCR_BUILD:?run the tests by make check or tests/run}"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
shim=$NCR_BUILD/libnccl_redirect.so
scratch=$(mktemp -d)
failures=0
unset LD_PRELOAD NCCL_DEBUG MAKEFLAGS MAKELEVEL MFLAGS
for variable in $(compgen -e | grep -E '^(NCCL_REDIRECT|VLLM_)'); do unset "$variable"; done
at_end=(rm -rf "$scratch")
finished=
at_exit() {
    local status=$?
    "${at_end[@]}"
    [ "$status" != 0 ] || [ "$finished" ] || { echo 'it ended before its last case' && exit 1; }
}
trap at_exit EXIT

# check NAME FUNCTION [ARGUMENT...]
check() {
    local name=$1 status
    shift
    (
        set -e
        "$@"
    ) >"$scratch/.output" 2>&1
    status=$?
    if [ $status = 0 ]; then
        echo "[       OK ] $name"
        grep '^skipped: ' "$scratch/.output"
    else
        failures=$((failures + 1))
        echo "[  FAILED  ] $name"
        sed 's/^/    /' "$scratch/.output"
    fi
}

skip() { # REASON: the whole test cannot run here
    echo "$*"
    exit 77
}

same() { # WANTED FOUND
    [ "$1" = "$2" ] && return
    printf 'wanted:\n%s\nfound:\n%s\n' "$1" "$2"
    false
}

has() { # TEXT PART
    case $1 in *"$2"*) return 0 ;; esac
    printf 'wanted a text with:\n%s\nfound:\n%s\n' "$2" "$1"
    false
}

lacks() { # TEXT PART
    case $1 in *"$2"*) ;; *) return 0 ;; esac
    printf 'wanted a text without:\n%s\nfound:\n%s\n' "$2" "$1"
    false
}

finish() {
    finished=1
    [ "$failures" = 0 ]
    exit
}
