# SPDX-License-Identifier: Apache-2.0
# For etc/conda/deactivate.d/nccl-redirect.sh: takes out of LD_PRELOAD what activate.sh put there, and nothing else.
# shellcheck shell=sh
_nccl_redirect=:${LD_PRELOAD-}:
case $_nccl_redirect in
*":$CONDA_PREFIX/lib/nccl-redirect/libnccl_redirect.so:"*)
    # The rest is in colons, or one colon if nothing is left.
    _nccl_redirect=${_nccl_redirect%%":$CONDA_PREFIX/lib/nccl-redirect/libnccl_redirect.so:"*}:${_nccl_redirect#*":$CONDA_PREFIX/lib/nccl-redirect/libnccl_redirect.so:"}
    _nccl_redirect=${_nccl_redirect#:}
    export LD_PRELOAD="${_nccl_redirect%:}"
    [ -n "$LD_PRELOAD" ] || unset LD_PRELOAD
    ;;
esac
unset _nccl_redirect
