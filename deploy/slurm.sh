#!/bin/bash
#SBATCH --job-name=squall-sweep
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=squall-sweep-%A_%a.log
# sbatch --array=0-63 slurm.sh [arguments of squall sweep]: by default a million seeds of all packages. SQUALL is the command and
# SWEEP_DIR the folder that all tasks share.
set -u
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-trimpath"
[ $# -gt 0 ] || set -- -seeds 1000000 ./...
exec ${SQUALL:-go tool squall} sweep -jobs "${SLURM_CPUS_PER_TASK:-1}" -shard auto -dir "${SWEEP_DIR:-$PWD/squall-sweep}" "$@"
