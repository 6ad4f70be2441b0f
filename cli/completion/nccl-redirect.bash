# SPDX-License-Identifier: Apache-2.0
# bash completion of nccl-redirect

_nccl_redirect() {
    local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    local commands='' options='' values='' valued='' takes='' i
    COMPREPLY=()
    # bash takes --use=sys apart into --use, = and sys.
    if [ "$word" = = ]; then
        word=
    elif [ "$option" = = ]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    # make docs: bash
    commands='run explain list inspect doctor ps fingerprint env python hang trace top compare'
    case $command in
    run) takes=command options='--use= --require= --strict --log= --no-check --trace= --watch= --help' ;;
    explain) takes=command options='--use= --require= --strict --all --json --pid= --help' ;;
    list) takes=nothing options='--all --json --history= --help' ;;
    inspect) takes=names options='--all --json --help' ;;
    doctor) takes=command options='--use= --require= --strict --all --json --help' ;;
    ps) takes=names options='--all --json --help' ;;
    fingerprint) takes=names options='--use= --require= --strict --json --sha256 --merge --help' ;;
    env) takes=nothing options='--use= --require= --strict --log= --format= --include --unset --help' ;;
    python) takes=names options='--enable --disable --status --help' ;;
    hang) takes=names options='--all --json --help' ;;
    trace) takes=names options='--all --json --as= --to= --help' ;;
    top) takes=names options='--once --help' ;;
    compare) takes=command options='--json --repeat= --help' ;;
    esac
    case $option in
    --use) values='auto torch program system' ;;
    --log) values='off error warn info debug' ;;
    --as) values='chrome torch html json' ;;
    --format) values='sh fish csh mpirun srun sbatch docker k8s cdi apptainer dockerfile systemd ray kernelspec json' ;;
    esac
    valued=' --use --require --log --pid --watch --as --to --repeat --format '
    # make docs: end
    if [ "$COMP_CWORD" = 1 ] || [ "$command" = help ]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands help --help --version" -- "$word")
        return
    fi
    # A command behind the options is completed as a command line of its own.
    for ((i = 2; i < COMP_CWORD; i++)); do
        [ "$takes" = command ] || break
        case ${COMP_WORDS[i]} in
        --) i=$((i + 1)) ;;
        -* | =) continue ;;
        *)
            # The value of an option, behind = or as a word of its own.
            [ "${COMP_WORDS[i - 1]}" = = ] && continue
            [[ $valued == *" ${COMP_WORDS[i - 1]} "* ]] && continue
            ;;
        esac
        if declare -F _command_offset >/dev/null; then
            _command_offset "$i"
        elif [ "$i" = "$COMP_CWORD" ]; then
            mapfile -t COMPREPLY < <(compgen -c -- "$word")
        else
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
        fi
        return
    done
    if [ -n "$values" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word"; [ "$option" = --use ] && compgen -f -- "$word")
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
    elif [ "$takes" = command ]; then
        mapfile -t COMPREPLY < <(compgen -c -- "$word")
    elif [ "$command" = ps ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$word")
    elif [ "$takes" = names ]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -o filenames -F _nccl_redirect nccl-redirect
