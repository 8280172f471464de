#!/usr/bin/env bash
# Draws the pictures of README.md anew, with the programs of a build (default: build, as the quick start makes it):
#   examples/pictures.sh [BUILD]
# What they show: eight photos out of Debian's packages (fetch_photos.sh), and a street out of the LiDAR simulator (needs
# Debian's python3-torch and python3-numpy). Another processor may change the last digit of an FP32 score.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:-build}/bin
photos=build/photos
pictures=examples/pictures
examples/fetch_photos.sh "$photos"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Each photo's scores in FP32 and in INT8.
"$bin/catdog" --threads 1 --device cpu --picture "$pictures/predictions.svg" \
  "$photos/cat/cat.jpg" "$photos/cat/chelsea.png" "$photos/cat/face.jpg" \
  "$photos/dog/dogs.jpg#xywh=percent:0,0,50,50" "$photos/dog/dogs.jpg#xywh=percent:50,0,50,50" \
  "$photos/dog/dogs.jpg#xywh=percent:0,50,50,50" "$photos/dog/dogs.jpg#xywh=percent:50,50,50,50" \
  "$photos/dog/puppy.jpg" >/dev/null

# What each layer costs: the bars are those of report.html, cut out of it.
"$bin/octet" sensitivity catdog --data "$photos" --mode alone --out "$work/sensitivity.json" --quiet >/dev/null
"$bin/octet" report --ranges models/catdog/ranges.json --sensitivity-json "$work/sensitivity.json" \
  --out "$work/report.html" >/dev/null
style='xmlns="http://www.w3.org/2000/svg" style="background:white" font-family="sans-serif" font-size="11"'
sed -n 's|.*<h2>Sensitivity</h2>||p' "$work/report.html" | grep -o '<svg .*' | sed 's|</svg>|</svg>\n|' |
  sed '/<\/svg>/q' | sed "s|<svg |<svg $style |; s|/><text|/>\n<text|g" >"$pictures/sensitivity.svg"

# Points, what is there, and what the shipped network finds, in INT8.
/usr/bin/python3 -m models.centerpoint.simulate --frames 1 --first 4 --seed 7 --sweeps 1 --device cpu --out "$work"
"$bin/octet" run centerpoint "$work/s7_000004.f32x5.bin" \
  --centerpoint '{"range": [-24, -43.2, -5, 24, 43.2, 3], "score_threshold": 0.35}' \
  --picture "$pictures/birds_eye.svg" --quiet --json >/dev/null
