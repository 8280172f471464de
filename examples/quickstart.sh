#!/usr/bin/env bash
# From nothing to a classified photo: installs what is missing (as root), builds, fetches eight photos from Debian's
# packages and classifies each in FP32 and in INT8. Outside of this folder it only installs packages.
#   examples/quickstart.sh [PHOTO...]     more photos of your own, if you like
set -euo pipefail
cd "$(dirname "$0")/.."
. examples/install.sh

# shellcheck disable=SC2086  # the list is words
ensure_packages $OCTET_PACKAGES
if [ ! -f build/build.ninja ]; then
  mkdir -p build
  echo "configuring"
  cmake -S . -B build -G Ninja -DOCTET_TESTS=OFF >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
fi
[ -x build/bin/octet ] || echo "building (two to four minutes)"
# ninja's own progress line on a terminal; only the end and the errors otherwise
if [ -t 1 ]; then cmake --build build --target catdog imagenet octet; else cmake --build build --target catdog imagenet octet | tail -1; fi
examples/fetch_photos.sh build/photos

photos=build/photos
exec build/bin/catdog --threads 1 "$photos/cat/cat.jpg" "$photos/cat/chelsea.png" "$photos/cat/face.jpg" \
  "$photos/dog/dogs.jpg#xywh=percent:0,0,50,50" "$photos/dog/dogs.jpg#xywh=percent:50,0,50,50" \
  "$photos/dog/dogs.jpg#xywh=percent:0,50,50,50" "$photos/dog/dogs.jpg#xywh=percent:50,50,50,50" \
  "$photos/dog/puppy.jpg" "$@"
