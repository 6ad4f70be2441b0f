# SPDX-License-Identifier: Apache-2.0
# A Slurm of one node that the test starts for itself on loopback: controller, node and authentication, all in $scratch.
# Sourced after cases.sh.
# shellcheck shell=bash disable=SC2154 # scratch is of cases.sh
for variable in "${!SLURM_@}"; do unset "$variable"; done # of a job that this test may be run in
slurm=$scratch/slurm
export SLURM_CONF=$slurm/slurm.conf
daemons=()

configure_slurm() {
    local port=$((20000 + RANDOM % 20000)) host
    host=$(hostname -s)
    mkdir -p "$slurm"/{state,spool}
    cat >"$SLURM_CONF" <<-END
		ClusterName=test
		SlurmctldHost=$host(127.0.0.1)
		SlurmctldPort=$port
		SlurmdPort=$((port + 1))
		SlurmUser=root
		SlurmdUser=root
		AuthType=auth/munge
		AuthInfo=socket=$slurm/munge.socket
		CredType=cred/munge
		MpiDefault=none
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_CPU
		JobAcctGatherType=jobacct_gather/none
		AccountingStorageType=accounting_storage/none
		SwitchType=switch/none
		ReturnToService=2
		StateSaveLocation=$slurm/state
		SlurmdSpoolDir=$slurm/spool
		SlurmctldPidFile=$slurm/slurmctld.pid
		SlurmdPidFile=$slurm/slurmd.pid
		SlurmctldLogFile=$slurm/slurmctld.log
		SlurmdLogFile=$slurm/slurmd.log
		NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
		PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
	END
}

start_slurm() {
    head -c 128 /dev/urandom >"$slurm/munge.key"
    chmod 400 "$slurm/munge.key"
    munged --foreground --force --key-file="$slurm/munge.key" --socket="$slurm/munge.socket" --pid-file="$slurm/munge.pid" \
        --log-file="$slurm/munge.log" --seed-file="$slurm/munge.seed" >/dev/null 2>&1 &
    daemons+=($!)
    slurmctld -D >/dev/null 2>&1 &
    daemons+=($!)
    env -u LD_LIBRARY_PATH slurmd -D >/dev/null 2>&1 &
    daemons+=($!)
    for _ in $(seq 300); do
        [ "$(sinfo --noheader --format %T 2>/dev/null)" != idle ] || return 0
        sleep 0.1
    done
    tail -n 5 "$slurm"/*.log
    return 1
}

stop_slurm() {
    kill "${daemons[@]}"
    wait
    rm -rf "$scratch"
} 2>/dev/null
