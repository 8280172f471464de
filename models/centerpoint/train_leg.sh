#!/usr/bin/env bash
# One leg of training, and the weights as they are after it: train_leg.sh STATE [MINUTES] [SCHEDULE-MINUTES] [FLAG...]
# Called again it goes on. The state is five files below 16 MiB in STATE; the weights are STATE/centerpoint.safetensors.
set -euo pipefail
state=$(realpath -m "${1:?which folder keeps the state?}")
minutes=${2:-8} schedule=${3:-24}
shift $(($# < 3 ? $# : 3))
cd "$(dirname "$0")/../.."
export PYTHONUNBUFFERED=1
python3 -m models.centerpoint.train --state "$state" --minutes "$minutes" --schedule-minutes "$schedule" "$@"
python3 -m models.centerpoint.train --state "$state" --device cpu "$@" --export "$state/centerpoint.safetensors"
