#!/usr/bin/env python3
"""Runs a network on photos with Octet and with ONNX Runtime, and compares what comes out.

    benchmarks/compare_onnx.py build/bin/octet MODEL PHOTOS [--skip N] [--limit N] [--other REFERENCE.onnx]
                               [--export="EXPORT FLAGS"] [-- OCTET FLAGS]

MODEL is an .onnx file; with --export any model: it is exported first (`octet export MODEL FLAGS`, which take --ranges,
--opset, --dynamic-batch, --only, --ignore, ...), onnx.checker must accept the file, ONNX Runtime runs it, and Octet runs
both the file and, where no layer was left out, MODEL itself, which must give the same logits bit for bit.
--other: ONNX Runtime runs this file instead, for instance the float original of a quantised one.

The first run makes an environment with onnx, onnxruntime, numpy and pillow in benchmarks/.venv (git-ignored).
JPEG decoders differ by a few steps a pixel, so both sides are given the same pixels, decoded and resized by Pillow: PNG
copies in a temporary folder. Preprocessing is Octet's own choice for the file (`octet inspect --json` tells it).
"""
import argparse, collections, json, os, subprocess, sys, tempfile
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


def decode(paths, folder, how):
    """PNG copies of the photos, of a size that leaves Octet nothing to resize."""
    from PIL import Image

    names = []
    for i, path in enumerate(paths):
        photo = Image.open(path).convert("RGB")
        crop, shorter = how["crop"], how["resize"]
        if shorter and min(photo.size) != shorter:
            scale = shorter / min(photo.size)
            photo = photo.resize([max(shorter, round(side * scale)) for side in photo.size], Image.BICUBIC)
        if not shorter and photo.size != (crop, crop):
            photo = photo.resize((crop, crop), Image.BICUBIC)
        names.append(folder / f"{i:06}.png")
        photo.save(names[-1], compress_level=1)
    return names


def prepare(path, how):
    """What Octet feeds its network: the centre of the photo, (p - mean) / std, [1, 3, crop, crop]."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(Image.open(path), dtype=np.float32)
    crop = how["crop"]
    top, left = (pixels.shape[0] - crop) // 2, (pixels.shape[1] - crop) // 2
    pixels = pixels[top : top + crop, left : left + crop]
    mean, std = np.float32(how["mean"]), np.float32(how["std"])
    return ((pixels - mean) / std).transpose(2, 0, 1)[None]


def octet(program, *arguments):
    return subprocess.run([program, *map(str, arguments), "--json", "--quiet"], check=True, capture_output=True).stdout


def logits_of(program, model, folder, flags):
    import numpy as np

    run = json.loads(octet(program, "run", model, folder, *flags))
    return np.float32([image["logits"] for image in run["images"]]), run["precision"]


def export(o, folder):
    """The exported file, which onnx.checker has accepted."""
    import onnx

    path = folder / "export.onnx"
    octet(o.octet, "export", o.model, "--out", path, *o.export)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    count = collections.Counter(node.op_type for node in model.graph.node)
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    print(f"exported: operator set {model.opset_import[0].version}, batch {batch.dim_param or batch.dim_value}, "
          f"{count['QuantizeLinear']} Q, {count['DequantizeLinear']} DQ, {count['Conv'] + count['ConvTranspose']} "
          f"convolutions, {path.stat().st_size / 1e6:.2f} MB; onnx.checker {onnx.__version__} accepts it")
    return path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("octet")
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--other")
    parser.add_argument("--export", type=str.split, help="flags of octet export, one text")
    parser.add_argument("flags", nargs="*", help="given to octet run, behind --")
    return parser.parse_args()


def main():
    ensure_environment()
    import numpy as np
    import onnxruntime

    o = arguments()
    paths = sorted(p for p in o.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp"))[o.skip :]
    paths = paths[: o.limit]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder, "photos")
        photos.mkdir()
        model = o.model if o.export is None else export(o, Path(folder))
        how = json.loads(octet(o.octet, "inspect", model))["preprocess"]
        names = decode(paths, photos, how)
        ours, precision = logits_of(o.octet, model, photos, o.flags)
        if o.export is not None and not {"--only", "--ignore"} & set(o.export):
            ranges = [f for i, f in enumerate(o.export) if "--ranges" in o.export[max(0, i - 1) : i + 1]]
            same = np.array_equal(logits_of(o.octet, o.model, photos, [*ranges, *o.flags])[0], ours)
            print(f"{o.model} itself gives {'the same logits' if same else 'OTHER LOGITS'}")
        session = onnxruntime.InferenceSession(o.other or model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        theirs = np.float32([session.run(None, {name: prepare(photo, how)})[0].ravel() for photo in names])
    report(o, precision, ours, theirs, onnxruntime.__version__)


def report(o, precision, ours, theirs, version):
    import numpy as np

    count, same = len(ours), int((ours.argmax(1) == theirs.argmax(1)).sum())
    difference = np.abs(ours - theirs)
    print(f"{Path(o.model).name} ({precision}) against ONNX Runtime {version}"
          f"{' on ' + Path(o.other).name if o.other else ''}, {count} photos, {len(set(ours.argmax(1)))} classes")
    print(f"top-1 equal on {same} ({100 * same / count:.2f} %)")
    print(f"|difference|: mean {difference.mean():.3g}, largest {difference.max():.3g}; "
          f"|output|: mean {np.abs(theirs).mean():.3g}, largest {np.abs(theirs).max():.3g}")
    for share in (0, 1, 2):
        step = quantisation_step(theirs)
        if step:
            within = np.rint(difference / step) <= share
            print(f"outputs are multiples of {step:.6g}: within {share} step(s) on {within.sum()} of {within.size} "
                  f"({100 * within.mean():.3f} %)")


def quantisation_step(values):
    """The step of outputs that came straight from 8-bit integers; None where there are more than 256 values."""
    import numpy as np

    unique = np.unique(values)
    return float(np.diff(unique).min()) if 1 < len(unique) <= 256 else None


main()
