#!/usr/bin/env bash
# One leg of training, and the weights as they are after it: train_leg.sh STATE [MINUTES] [SCHEDULE-MINUTES] [FLAG...]
# On all GPUs of this host, or GPUS of them. Called again it goes on. The state is five files below 16 MiB in STATE; the
# weights are STATE/centerpoint.safetensors.
set -euo pipefail
state=$(realpath -m "${1:?which folder keeps the state?}")
minutes=${2:-8} schedule=${3:-24}
shift $(($# < 3 ? $# : 3))
cd "$(dirname "$0")/../.."
export PYTHONUNBUFFERED=1
gpus=${GPUS:-$( (nvidia-smi --list-gpus 2>/dev/null || true) | wc -l)}
train=(python3)
if [ "$gpus" -gt 1 ]; then
  export GLOO_SOCKET_IFNAME=lo NCCL_SOCKET_IFNAME=lo
  train=(python3 -m torch.distributed.run --standalone --nproc_per_node "$gpus")
fi
"${train[@]}" -m models.centerpoint.train --state "$state" --minutes "$minutes" --schedule-minutes "$schedule" "$@"
python3 -m models.centerpoint.train --state "$state" --device cpu "$@" --export "$state/centerpoint.safetensors"
