# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared with tests/gpu/run
# The step `versions`: a program compiled for the newest NCCL, and torch, on NCCLs of other versions. Sourced by tests/gpu/run.
#
# Further NCCLs come as build/travel/libnccl-VERSION.so.xz: copies of real ones without the GPU code of other
# architectures.

steps+=(versions)
about[versions]="a program for 2.32.3 and torch on each NCCL here and in build/travel; ranks with different ones are refused"
limit[versions]=420

# Adds them to the backends that a case can name.
unpack_travelled() {
    local packed number
    [ "$host_memory" = 0 ] || return
    for packed in "$root"/build/travel/libnccl-*.so.xz; do
        [ -f "$packed" ] || continue
        number=${packed##*/libnccl-} number=${number%.so.xz}
        mkdir -p "$programs/travel-$number"
        file["$number"]=$programs/travel-$number/libnccl.so.2
        [ -f "${file["$number"]}" ] || "$python" -c 'import lzma, shutil, sys
shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' "$packed" "${file["$number"]}"
        value["$number"]=${file["$number"]}
        version["$number"]=$number
        travelled+=("$number")
    done
}

build_versions() {
    local where=("-I$cuda/include" "-L$cuda/lib64" "-Wl,-rpath,$cuda/lib64" -lcudart) device=cuda
    [ "$host_memory" = 0 ] || { device=host where=(-rdynamic); }
    compile versions gcc -std=gnu11 -O2 -D_GNU_SOURCE -pthread tests/gpu/versions.c tests/gpu/proof.c "tests/gpu/device_$device.c" \
        -o "$programs/versions" "$shim" "${where[@]}" -ldl
}

# Without the shim no NCCL works for this program: the newest lacks RCCL's word for an exchange.
versions_control() { # versions_control BACKEND
    local log=$NCR_GPU_LOGS/versions-direct-$1.log
    direct "$1" 60 "$programs/versions" >"$log" 2>&1
    if grep -q 'undefined symbol: nccl' "$log"; then
        report ok "versions-control-$1" "without the shim: $(grep -ao 'undefined symbol: nccl.*' "$log" | head -1)"
    else
        report_failed "versions-control-$1" "$log" "without the shim no function is missing: this shows nothing"
    fi
}

# Rank 0 on the one, rank 1 on the other: rank 1 is refused at once, and rank 0 would wait for ever.
mixed_ranks() { # mixed_ranks BACKEND BACKEND
    local name=versions-mixed-$1-$2 id log first line
    log=$NCR_GPU_LOGS/$name
    id=$(mktemp -u "$programs/id-XXXXXX")
    with_shim "$1" 60 "$programs/versions" -j "$id" -k 0 >"$log-0.log" 2>&1 &
    first=$!
    with_shim "$2" 60 "$programs/versions" -j "$id" -k 1 >"$log-1.log" 2>&1
    kill $first 2>/dev/null
    wait $first 2>/dev/null
    rm -f "$id"
    line=$(grep -a '^NCCL mismatch: ' "$log-1.log")
    if [ "$(proofs "$log-1.log" | field code)" = 5 ] && [ -n "$line" ] &&
        awk -v s="$(proofs "$log-1.log" | field seconds)" 'BEGIN { exit !(s < 10) }'; then
        report ok "$name" "after $(proofs "$log-1.log" | field seconds) s: $line"
    else
        report_failed "$name" "$log-1.log" "not refused within 10 s"
    fi
}

torch_on() { # torch_on BACKEND
    if [ -z "$torch_folder" ] || [ "$host_memory" = 1 ]; then
        report SKIP "versions-torch-$1" "needs torch and a GPU"
        return
    fi
    export -f torch_in
    export python ranks OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
    chosen versions-torch "$1" $((2 * ranks)) 200 bash -c torch_in
}

step_versions() {
    local backend travelled=() here=()
    [ "$ranks" -gt 1 ] || { report SKIP versions "needs two ranks"; return; }
    unpack_travelled
    build_versions
    for backend in "${backends[@]}" "${travelled[@]}"; do
        [ -n "${file[$backend]:-}" ] && here+=("$backend")
    done
    for backend in "${here[@]}"; do
        chosen versions-c "$backend" 1 90 "$programs/versions" -g 100
    done
    for backend in "${here[@]}"; do
        versions_control "$backend"
    done
    for backend in "${here[@]:1}"; do
        [ "${version[$backend]}" = "${version[${here[0]}]}" ] || mixed_ranks "${here[0]}" "$backend"
    done
    for backend in "${travelled[@]}"; do
        torch_on "$backend"
    done
    [ ${#travelled[@]} -gt 0 ] || report SKIP versions-travel "no further NCCL in build/travel"
    grep -haE '^proof: ' "$NCR_GPU_LOGS"/versions-c-*.log | sed 's/ maps=[^ ]*//; s/^proof: /  program for 2.32.3: /' |
        tee -a "$NCR_GPU_LOGS/measured.txt"
}
