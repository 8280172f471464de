#!/usr/bin/env python3
"""Runs an ONNX model on photos with Octet and with ONNX Runtime, and compares what comes out.

    benchmarks/compare_onnx.py build/bin/octet MODEL.onnx PHOTOS [--limit N] [--other REFERENCE.onnx] [-- OCTET FLAGS]

The first run makes an environment with onnx, onnxruntime, numpy and pillow in benchmarks/.venv (git-ignored).
JPEG decoders differ by a few steps a pixel, so both sides are given the same decoded pixels: PNG copies in a temporary
folder. Preprocessing is Octet's own choice for the file (`octet inspect --json` tells it), repeated here.
--other: ONNX Runtime runs this file instead, for instance the float original of a quantised one.
"""
import argparse, json, os, subprocess, sys, tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def ensure_environment():
    python = HERE / ".venv" / "bin" / "python"
    if Path(sys.prefix) == HERE / ".venv" or os.environ.get("OCTET_PYTHON_READY"):
        return
    if not python.exists():
        subprocess.check_call([sys.executable, "-m", "venv", str(HERE / ".venv")])
        packages = ["onnx", "onnxruntime", "numpy", "pillow"]
        subprocess.check_call([str(python), "-m", "pip", "install", "-q", *packages])
    os.execv(str(python), [str(python), *sys.argv])


def decode(paths, folder):
    from PIL import Image

    names = []
    for i, path in enumerate(paths):
        target = folder / f"{i:06}.png"
        Image.open(path).convert("RGB").save(target, compress_level=1)
        names.append(target)
    return names


def prepare(path, how):
    """The same pixels that Octet feeds its network, where no resize is needed; else an error."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(Image.open(path), dtype=np.float32)
    height, width = pixels.shape[:2]
    crop = how["crop"]
    fits = min(height, width) == how["resize"] if how["resize"] else height == width == crop
    if not fits:
        sys.exit(f"{path}: {width}x{height} needs a resize, which this comparison leaves out; resize the photos first")
    top, left = (height - crop) // 2, (width - crop) // 2
    pixels = pixels[top : top + crop, left : left + crop]
    mean, std = np.float32(how["mean"]), np.float32(how["std"])
    return ((pixels - mean) / std).transpose(2, 0, 1)[None]


def main():
    ensure_environment()
    import numpy as np
    import onnxruntime

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("octet")
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--other")
    parser.add_argument("flags", nargs="*", help="given to octet run, behind --")
    o = parser.parse_args()

    paths = sorted(p for p in o.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp"))[o.skip :]
    paths = paths[: o.limit]
    inspect = subprocess.run([o.octet, "inspect", o.model, "--json", "--quiet"], check=True, capture_output=True)
    how = json.loads(inspect.stdout)["preprocess"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(o.other or o.model, options, providers=["CPUExecutionProvider"])
    input_name = session.get_inputs()[0].name
    with tempfile.TemporaryDirectory() as folder:
        names = decode(paths, Path(folder))
        command = [o.octet, "run", o.model, folder, "--json", "--quiet", *o.flags]
        run = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        theirs = [session.run(None, {input_name: prepare(name, how)})[0].ravel() for name in names]
    ours = np.float32([image["logits"] for image in run["images"]])
    theirs = np.float32(theirs)
    same = int((ours.argmax(1) == theirs.argmax(1)).sum())
    difference = np.abs(ours - theirs)
    print(f"{Path(o.model).name} ({run['precision']}) against ONNX Runtime {onnxruntime.__version__}"
          f"{' on ' + Path(o.other).name if o.other else ''}, {len(names)} photos")
    print(f"top-1 equal on {same} ({100 * same / len(names):.2f} %)")
    print(f"|difference|: mean {difference.mean():.3g}, largest {difference.max():.3g}; "
          f"|output|: mean {np.abs(theirs).mean():.3g}, largest {np.abs(theirs).max():.3g}")
    for share in (0, 1, 2):
        steps = quantisation_step(theirs)
        if steps:
            within = (np.rint(difference / steps) <= share).mean()
            print(f"outputs are multiples of {steps:.6g}: within {share} step(s) on {100 * within:.3f} %")


def quantisation_step(values):
    """The step of outputs that came straight from 8-bit integers; None where there are more than 256 values."""
    import numpy as np

    unique = np.unique(values)
    return float(np.diff(unique).min()) if 1 < len(unique) <= 256 else None


main()
