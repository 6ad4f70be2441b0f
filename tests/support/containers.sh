# SPDX-License-Identifier: Apache-2.0
# Root file systems without a container engine: bubblewrap gives a program a read-only root, a process table in which it
# is PID 1, and another user. Sourced after cases.sh.
# shellcheck shell=bash disable=SC2154,SC2034 # scratch, root and NCR_BUILD are of cases.sh; the variables are for the tests
entrypoint=$root/scripts/container-entrypoint
installed=$scratch/installed # what an image holds: the folder that make install makes
wanted_nccl=$NCR_BUILD/nccl/cu11-2.14.3/lib/libnccl.so.2
other_nccl=$NCR_BUILD/nccl/cu12-2.21.5/lib

mkdir "$installed" "$scratch/image"
chmod 755 "$scratch"
cp -P "$entrypoint" "$NCR_BUILD"/{,lib}{nccl,rccl}_redirect.so "$installed"

# A program linked with NCCL that any glibc can start: the C library's own start files would ask for the newest.
gcc -O1 -nostartfiles -Wl,-e,start -x c -o "$scratch/image/program" - -x none "$shim" <<'END'
int printf(const char *, ...);
void exit(int);
int getpid(void);
int getuid(void);
int ncclGetVersion(int *);
#ifdef __x86_64__
__attribute__((force_align_arg_pointer))
#endif
void start(void) {
    int version = 0;
    ncclGetVersion(&version);
    printf("version=%d pid=%d uid=%d\n", version, getpid(), getuid());
    exit(42);
}
END
served='version=21403 pid=1 uid=12345 exit=42' unserved='version=22105 pid=1 uid=12345 exit=42'

start_in() { # ROOT [BWRAP-OPTION...] -- COMMAND...: as another user where we may change to one
    local as_user=() options=()
    [ "$(id -u)" != 0 ] || as_user=(setpriv --reuid=12345 --regid=12345 --clear-groups)
    local image=$1
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    "${as_user[@]}" bwrap --unshare-user --uid 12345 --gid 12345 --unshare-pid --as-pid-1 --die-with-parent --clearenv \
        --ro-bind "$image" / --dev /dev --proc /proc --tmpfs /mnt --dir /mnt/nccl --dir /mnt/image \
        --ro-bind "$scratch/image" /mnt/image --ro-bind "$(dirname "$wanted_nccl")" /mnt/nccl/wanted \
        --ro-bind "$other_nccl" /mnt/nccl/other --setenv PATH /usr/bin:/bin:/mnt/image \
        --setenv LD_LIBRARY_PATH /mnt/nccl/other "${options[@]}" --remount-ro /mnt -- "$@"
}

# The folder at its usual place, the backend chosen by its path. Prints what the program printed and its exit status.
enter() { # ROOT [BWRAP-OPTION...] -- ENTRYPOINT-ARGUMENT...
    local before=() status=0
    while [ "$1" != -- ]; do
        before+=("$1")
        shift
    done
    shift
    start_in "${before[@]}" --setenv NCCL_REDIRECT /mnt/nccl/wanted/libnccl.so.2 -- \
        "${at:-/mnt/nccl-redirect}/container-entrypoint" "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
    echo "$(cat "$scratch/out") exit=$status"
}

# Other libraries at the place of the shim, each unusable for a reason of its own.
broken_folder() { # KIND
    local folder=$scratch/broken-$1
    rm -rf "$folder"
    cp -r "$installed" "$folder"
    local library=$folder/libnccl_redirect.so
    case $1 in
    missing) rm "$folder"/*ccl_redirect.so ;;
    unreadable) chmod 000 "$library" ;;
    truncated) head -c 5000 "$shim" >"$library" ;;
    other-cpu) printf '\363' | dd of="$library" bs=1 seek=18 conv=notrunc status=none ;; # e_machine: RISC-V
    new-libc)
        mkdir "$folder/new"
        echo 'GLIBC_2.99 { from_the_future; };' >"$folder/new/map"
        echo 'void from_the_future(void) {}' | gcc -shared -fPIC -nostdlib -Wl,-soname,libc.so.6 \
            -Wl,--version-script="$folder/new/map" -x c -o "$folder/new/libc.so.6" -
        echo 'void from_the_future(void); void use(void) { from_the_future(); }' |
            gcc -shared -fPIC -nostdlib -x c -o "$library" - -x none "$folder/new/libc.so.6"
        ;;
    glibc-only) # a name that musl lacks
        echo 'const char *gnu_get_libc_version(void); const char *use(void) { return gnu_get_libc_version(); }' |
            gcc -shared -fPIC -x c -o "$library" -
        ;;
    esac
    echo "$folder"
}

one_line() { # FILE BEGINNING PART: the file is one such line
    same 1 "$(wc -l <"$1")"
    has "$(cat "$1")" "$2"
    has "$(cat "$1")" "$3"
}

# Starts without the library and says so in one line; with --strict does not start; with the log off is silent.
starts_without() { # ROOT FOLDER REASON [WITHOUT]: what the program prints then, if it is not the answer of the other NCCL
    local options=(--ro-bind "$2" /mnt/nccl-redirect)
    same "${4:-$unserved}" "$(enter "$1" "${options[@]}" -- -- program)"
    one_line "$scratch/err" 'nccl-redirect: warning: program starts without nccl-redirect: ' "$3"
    same ' exit=78' "$(enter "$1" "${options[@]}" -- --strict -- program)"
    one_line "$scratch/err" 'nccl-redirect: error: program is not started because of --strict: ' "$3"
    same "${4:-$unserved}" "$(enter "$1" "${options[@]}" -- --log off -- program)"
    same '' "$(cat "$scratch/err")"
}
