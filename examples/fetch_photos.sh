#!/usr/bin/env bash
# Fetches eight real photos, three cats and five dogs, out of Debian's packages (downloaded, not installed).
#   fetch_photos.sh FOLDER    fills FOLDER/cat and FOLDER/dog; does nothing when they are there already
# dogs.jpg shows four dogs, one in each quarter: it counts as four photos (dogs.jpg#xywh=percent:0,0,50,50 and so on).
set -euo pipefail

folder=$1
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
[ -f "$folder/complete" ] && exit 0

downloads=$folder/downloads
mkdir -p "$downloads/partial" "$folder/cat" "$folder/dog"
cd "$downloads"

# download PACKAGE: apt fetches into this folder; a machine that never updated its lists does so first (root only).
download() {
  apt-get -qq -o APT::Sandbox::User=root download "$1" 2>/dev/null && return
  [ "$(id -u)" -eq 0 ] && [ ! -f updated ] && apt-get update -qq && touch updated
  apt-get -qq -o APT::Sandbox::User=root download "$1"
}

# take PACKAGE FILE-IN-PACKAGE TARGET
take() {
  [ -f "$folder/$3" ] && return
  ls "$1"_*.deb >/dev/null 2>&1 || download "$1"
  dpkg-deb --fsys-tarfile "$1"_*.deb | tar -xO --wildcards "*$2" >"$folder/$3.part"
  [ -s "$folder/$3.part" ] || { echo "fetch_photos: $1 holds no $2" >&2; exit 1; }
  mv "$folder/$3.part" "$folder/$3"
}

take libdlib19.1 examples/faces/dogs.jpg dog/dogs.jpg
take gnome-control-center-data faces/legacy/puppy.jpg dog/puppy.jpg
take python3-imageio images/chelsea.png cat/chelsea.png
take python3-pattern static/cat.jpg cat/cat.jpg
take gnome-control-center-data pixmaps/faces/cat.jpg cat/face.jpg
rm -rf "$downloads"
touch "$folder/complete"
