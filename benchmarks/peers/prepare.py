"""Makes one network's files for all contenders in a folder: weights, photos, inputs, ONNX, ncnn, Octet's ranges and its
.octet program, and the outputs that everybody is compared with. Done once; again when a script or weights change."""

import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

import ncnn_files
import networks
import onnx_files

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CALIBRATION_SEED, TEST_SEED, WEIGHTS_SEED = 1, 2, 7
CALIBRATION_PHOTOS, TEST_PHOTOS = 8, 16


class Unavailable(Exception):
    """The network cannot be measured here, and why."""


def write_png(path, pixels):
    height, width, _ = pixels.shape
    chunk = lambda kind, data: (struct.pack(">I", len(data)) + kind + data
                                + struct.pack(">I", zlib.crc32(kind + data)))
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def real_weights(name, build):
    """The file with trained weights, None where the project has none."""
    if name == "catdog":
        return REPOSITORY / "models/catdog/catdog.safetensors"
    if name == "efficientnet_lite0":
        path = build / "share/octet/efficientnet_lite0/efficientnet_lite0.pth"
        if not path.exists():
            subprocess.run([REPOSITORY / "models/efficientnet_lite0/fetch.sh", build / "share/octet"], check=False,
                           stdout=subprocess.DEVNULL)
        if not path.exists():
            raise Unavailable("its weights could not be fetched (models/efficientnet_lite0/fetch.sh)")
        return path
    return None


def stamp(*files):
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path} {os.stat(path).st_size} {os.stat(path).st_mtime_ns}".encode())
    return digest.hexdigest()


def fresh(made, key):
    return made.exists() and made.read_text() == key


def octet_command(build, *arguments):
    result = subprocess.run([build / "bin/octet", *map(str, arguments), "--quiet"], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"octet {' '.join(map(str, arguments))}: {result.stderr.strip()}")


def prepare(name, folder, build):
    """The path of the weights for Octet. Files in `folder`: inputs.bin, one.bin, bytes.bin, float.onnx, u8s8.onnx,
    u8s7.onnx, s8s8.onnx, {float,int8}.{param,bin}, int8.octet, expected.npz, perhaps weights.safetensors."""
    weights = real_weights(name, build)
    folder.mkdir(parents=True, exist_ok=True)
    scripts = [HERE / f for f in ("networks.py", "onnx_files.py", "ncnn_files.py", "prepare.py", "requirements.txt")]
    key = stamp(*scripts, *([weights] if weights else []))
    for_octet = weights or folder / "weights.safetensors"
    if not fresh(folder / "made", key):
        print(f"preparing {name}", file=sys.stderr, flush=True)
        prepare_peers(networks.NETWORKS[name](), folder, weights, for_octet)
        (folder / "made").write_text(key)
    octet_key = key + stamp(build / "bin/octet")
    if not fresh(folder / "made_octet", octet_key):
        ranges = folder / "ranges.json"
        octet_command(build, "calibrate", name, "--weights", for_octet, "--data", folder / "photos", "--out", ranges,
                      "--resize", 0, "--crop", networks.SIDE, "--method", "max")
        octet_command(build, "export", name, "--weights", for_octet, "--ranges", ranges, "--out", folder / "int8.octet")
        (folder / "made_octet").write_text(octet_key)
    return for_octet


def prepare_peers(net, folder, weights, for_octet):
    calibration = networks.photos(CALIBRATION_SEED, CALIBRATION_PHOTOS)
    photos = folder / "photos"
    photos.mkdir(exist_ok=True)
    for i, pixels in enumerate(calibration):
        write_png(photos / f"{i}.png", pixels)
    batch = networks.to_input(net, calibration)
    if weights is None:
        state = networks.seeded_weights(net, WEIGHTS_SEED, onnx_files.statistics(batch[:4]))
        save_file(state, for_octet)
    else:
        state = load_file(weights) if weights.suffix == ".safetensors" else networks.read_legacy_checkpoint(weights)
    folded = networks.fold(net, state)
    path = lambda file: str(folder / file)
    onnx_files.write_float(net, folded, path("float.onnx"))
    amax = onnx_files.largest_values(net, folded, batch, path("all.onnx"))
    onnx_files.quantise(path("float.onnx"), path("u8s8.onnx"), batch)
    onnx_files.quantise(path("float.onnx"), path("u8s7.onnx"), batch, seven_bits=True)
    onnx_files.write_same_steps(net, folded, amax, path("s8s8.onnx"))
    ncnn_files.write(net, folded, path("float"))
    ncnn_files.write(net, folded, path("int8"), amax)

    test = networks.photos(TEST_SEED, TEST_PHOTOS)
    inputs = networks.to_input(net, test)
    test.tofile(folder / "bytes.bin")
    inputs.tofile(folder / "inputs.bin")
    inputs[:1].tofile(folder / "one.bin")
    run = lambda file, plain: onnx_files.session(path(file + ".onnx"), plain).run(None, {"image": inputs})[0]
    expected = {file: run(file, plain=file == "s8s8") for file in ("float", "s8s8", "u8s8", "u8s7")}
    np.savez(folder / "expected.npz", macs=net.macs(), **expected)


def machine():
    """What the table was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    value = lambda key: next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")
    flags = value("flags").split()
    return {"processor": value("model name"), "family": value("cpu family"), "model": value("model\t"),
            "processors": os.cpu_count(),
            "instruction_sets": [f for f in ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8") if f in flags]}


if __name__ == "__main__":
    print(json.dumps(machine(), indent=1))
