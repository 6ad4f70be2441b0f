# SPDX-License-Identifier: Apache-2.0
# Pods without a cluster: read as the kubelet reads them, their init container and container are started with their mounts,
# variables, user and read-only root. Sourced after cases.sh and containers.sh.
# shellcheck shell=bash disable=SC2154 # scratch, served and unserved are of containers.sh
python=python3
"$python" -c 'import yaml' 2>/dev/null || { "$root/scripts/setup" python3-yaml >/dev/null; python=/usr/bin/python3; }
make -s -C "$root" BUILD="$NCR_BUILD" install DESTDIR="$scratch/staged" PREFIX=/usr >/dev/null

# What start_in gets for a container of the pod, one word a line: options, --, command. A volume is a folder of
# $scratch.
arguments() { # FILE KIND
    "$python" - "$1" "$2" "$scratch" <<'END'
import sys, yaml
path, kind, scratch = sys.argv[1:]
pod = yaml.safe_load(open(path))
assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
spec = pod["spec"]
assert spec["securityContext"] == {"runAsNonRoot": True, "runAsUser": 12345}, "start_in is that user"
volumes = {volume["name"]: volume for volume in spec["volumes"]}
assert all(set(volume) == {"name", "emptyDir"} for volume in volumes.values())
(container,) = spec[kind]
assert not container.keys() - {"name", "image", "command", "args", "env", "resources", "securityContext", "volumeMounts"}
if kind == "containers":
    assert container["securityContext"] == {"readOnlyRootFilesystem": True}
for mount in container["volumeMounts"]:
    assert mount["name"] in volumes and not mount.keys() - {"name", "mountPath", "readOnly"}
    print("--ro-bind" if mount.get("readOnly") else "--bind")
    print("%s/volume-%s\n%s" % (scratch, mount["name"], mount["mountPath"]))
for variable in container.get("env", []):
    assert set(variable) == {"name", "value"} and isinstance(variable["value"], str)
    print("--setenv\n%s\n%s" % (variable["name"], variable["value"]))
print("--")
print("\n".join(container["command"] + container.get("args", [])))
END
}

# The image of the job has an older NCCL where its programs find it, and another one that `system` means.
start_job() { # BWRAP-OPTION... -- COMMAND...
    start_in / --tmpfs /opt --setenv VLLM_NCCL_SO_PATH /mnt/nccl/wanted/libnccl.so.2 "$@" 2>&1 || echo "exit=$?"
}

pod_runs() { # FILE
    local words=()
    rm -rf "$scratch/volume-nccl-redirect"
    mkdir -m 777 "$scratch/volume-nccl-redirect"
    mapfile -t words < <(arguments "$1" initContainers)
    start_in / --tmpfs /opt --ro-bind "$scratch/staged/usr/lib/nccl-redirect" /opt/nccl-redirect --dir /mnt/shim \
        "${words[@]//\/shim/\/mnt\/shim}" # a read-only root has no place for /shim
    mapfile -t words < <(arguments "$1" containers)
    same 'python train.py' "${words[*]: -2}"
    words=("${words[@]:0:${#words[@]}-2}" program)
    same "${served/ exit/$'\n'exit}" "$(start_job "${words[@]}")"
    same "${unserved/ exit/$'\n'exit}" "$(start_job -- program)"
}
