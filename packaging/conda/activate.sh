# SPDX-License-Identifier: Apache-2.0
# For etc/conda/activate.d/nccl-redirect.sh of a conda environment in which nccl-redirect is installed
# (make install PREFIX=$CONDA_PREFIX): whoever activates it has the preload library. Sourced by sh, bash and zsh.
# shellcheck shell=sh
case :${LD_PRELOAD-}: in
*":$CONDA_PREFIX/lib/nccl-redirect/libnccl_redirect.so:"*) ;;
*) export LD_PRELOAD="${LD_PRELOAD:+$LD_PRELOAD:}$CONDA_PREFIX/lib/nccl-redirect/libnccl_redirect.so" ;;
esac
