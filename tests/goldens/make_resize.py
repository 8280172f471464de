"""Writes what Pillow's Image.resize gives, as FNV-1a hashes of the RGB bytes.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install pillow==12.3.0 && /tmp/venv/bin/python make_resize.py

gives resize.json; 9.4.0, 11.3.0, 12.0.0 and 12.3.0 give the same hashes. With pillow==13.0.0 it writes
resize_pillow13.json, of only the sizes for which that version runs the vertical pass first.

tests/test_io_resize.cpp makes the same sources: "noise" is the byte state >> 56 of a 64-bit linear congruential generator
stepped once a byte, "gradient" the formula below.
"""
import json
import os

import PIL
from PIL import Image

MASK = (1 << 64) - 1
SOURCES = [(1, 1), (1, 7), (7, 1), (3, 2), (17, 31), (64, 64), (200, 200), (333, 500), (640, 480)]
TARGETS = [(1, 1), (2, 3), (5, 64), (32, 32), (64, 5), (224, 224), (256, 341), (300, 200)]
PILLOW_13 = int(PIL.__version__.split(".", maxsplit=1)[0]) >= 13
FILTERS = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR}


def noise(width, height, seed):
    state, out = seed, bytearray()
    for _ in range(width * height * 3):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK
        out.append(state >> 56)
    return bytes(out)


def gradient(width, height, _seed):
    out = bytearray()
    for y in range(height):
        for x in range(width):
            out += bytes((x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1),
                          (x + y) * 255 // max(width + height - 2, 1)))
    return bytes(out)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return f"{value:016x}"


def main():
    cases = []
    for number, (width, height) in enumerate(SOURCES):
        same = [(width, height), (width, 40), (40, height)]  # nothing changes, one axis changes
        for kind, make in (("noise", noise), ("gradient", gradient)):
            seed = 1000 + number
            source = Image.frombytes("RGB", (width, height), make(width, height, seed))
            for target in TARGETS + same:
                lost_rows = height - target[1]
                vertical_first = lost_rows > 0 and lost_rows > 2 * (width - target[0])
                if PILLOW_13 and not vertical_first:
                    continue
                for name, code in FILTERS.items():
                    cases.append({"source": kind, "seed": seed, "width": width, "height": height,
                                  "to_width": target[0], "to_height": target[1], "filter": name,
                                  "hash": fnv1a(source.resize(target, code).tobytes())})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "resize_pillow13.json" if PILLOW_13 else "resize.json")
    with open(path, "w") as file:
        file.write(f'{{"pillow": "{PIL.__version__}", "cases": [\n')
        file.write(",\n".join(json.dumps(case) for case in cases))
        file.write("\n]}\n")


main()
