#!/usr/bin/env python3
"""Runs a network on photos with Octet and with ONNX Runtime, and compares what comes out.

    benchmarks/compare_onnx.py build/bin/octet MODEL PHOTOS [--skip N] [--limit N] [--other REFERENCE.onnx]
                               [--as-written] [--clip] [--export="EXPORT FLAGS"] [-- OCTET FLAGS]

MODEL is an .onnx file; with --export any model: it is exported first (`octet export MODEL FLAGS`, which take --ranges,
--opset, --dynamic-batch, --only, --ignore, ...), onnx.checker must accept the file, ONNX Runtime runs it, and Octet
runs both the file and, where no layer was left out, MODEL itself, which must give the same logits bit for bit.
--other: ONNX Runtime runs this file instead, for instance the float original of a quantised one.
--as-written: a quantised file is also compared as it stands, without ONNX Runtime's optimisations: QuantizeLinear and
DequantizeLinear around operators on floats, which is how ONNX defines it; and ONNX Runtime's two ways with each other.

--clip: ONNX Runtime runs an export of ours with a Clip before each QuantizeLinear, to the integers that Octet uses (the
metadata octet.ranges): what -128 does to the agreement, which Octet never gives.

The first run makes an environment with onnx, onnxruntime, numpy and pillow in benchmarks/.venv (git-ignored).
JPEG decoders differ by a few steps a pixel, so both sides are given the same pixels, decoded and resized by Pillow: PNG
copies in a temporary folder. Preprocessing is Octet's own choice for the file (`octet inspect --json` tells it).
"""
import argparse
import collections
import json
import sys
import tempfile
from pathlib import Path

import onnx_photos
from onnx_photos import octet


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
    opset = next(i.version for i in model.opset_import if not i.domain)
    print(f"exported: operator set {opset}, batch {batch.dim_param or batch.dim_value}, {count['QuantizeLinear']} Q, "
          f"{count['DequantizeLinear']} DQ, {count['Conv'] + count['ConvTranspose']} convolutions, "
          f"{path.stat().st_size / 1e6:.2f} MB; onnx.checker {onnx.__version__} accepts it")
    return path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("octet")
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--other")
    parser.add_argument("--as-written", action="store_true")
    parser.add_argument("--clip", action="store_true")
    parser.add_argument("--export", type=str.split, help="flags of octet export, one text")
    own = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    o = parser.parse_args(own)
    o.flags = sys.argv[len(own) + 2 :]
    return o


def main():
    onnx_photos.ensure_environment()
    import numpy as np

    o = arguments()
    paths = onnx_photos.photo_paths(o.photos, o.skip, o.limit)
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder, "photos")
        photos.mkdir()
        model = o.model if o.export is None else export(o, Path(folder))
        how = onnx_photos.preprocessing(o.octet, model)
        for i, path in enumerate(paths):
            onnx_photos.load(path, how).save(photos / f"{i:06}.png", compress_level=1)
        names = sorted(photos.iterdir())
        ours, precision = logits_of(o.octet, model, photos, o.flags)
        if o.export is not None and not {"--only", "--ignore"} & set(o.export):
            same = np.array_equal(logits_of(o.octet, o.model, photos, [*flags_of_run(o.export), *o.flags])[0], ours)
            print(f"{o.model} itself gives {'the same logits' if same else 'OTHER LOGITS'}")
        theirs = clipped(model, Path(folder)) if o.clip else o.other or model
        optimised = outputs_of(theirs, names, how, "ORT_ENABLE_ALL")
        written = outputs_of(theirs, names, how, "ORT_DISABLE_ALL") if o.as_written else None
    report(f"{Path(o.model).name} ({precision}) against {runtime(o)}", ours, optimised)
    if written is not None:
        report(f"{Path(o.model).name} ({precision}) against {runtime(o)}, as written", ours, written)
        report(f"{runtime(o)}, optimised against as written", optimised, written)


def clipped(path, folder):
    """The file with a Clip before each QuantizeLinear whose integers octet.ranges narrows."""
    import onnx

    model = onnx.load(path)
    text = next(p.value for p in model.metadata_props if p.key == "octet.ranges")
    ranges = {name: (int(lo), int(hi)) for name, lo, hi, *_ in map(str.split, text.splitlines())}
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type == "QuantizeLinear" and node.output[0] in ranges:
            name, step, zero = node.output[0] + "_clip", constants[node.input[1]], int(constants[node.input[2]])
            ends = [f"{name}_{end}" for end in ("lo", "hi")]
            for end, limit in zip(ends, ranges[node.output[0]]):
                value = (step * (limit - zero)).astype("float32")
                model.graph.initializer.append(onnx.numpy_helper.from_array(value, end))
            model.graph.node.append(onnx.helper.make_node("Clip", [node.input[0], *ends], [name], name))
            node.input[0] = name
        model.graph.node.append(node)
    onnx.save(model, folder / "clipped.onnx")
    return folder / "clipped.onnx"


def flags_of_run(export_flags):
    """Those of octet export that octet run takes as well."""
    shared = ("--ranges", "--weights", "--precision", "--activation")
    return [flag for i, flag in enumerate(export_flags)
            if flag.startswith(shared) or (i > 0 and export_flags[i - 1] in shared)]


def runtime(o):
    import onnxruntime

    on = f" on {Path(o.other).name}" if o.other else " with a Clip before each Q" if o.clip else ""
    return f"ONNX Runtime {onnxruntime.__version__}{on}"


def outputs_of(model, photos, how, level):
    import numpy as np
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.float32([session.run(None, {name: onnx_photos.prepare(Image.open(photo), how)})[0].ravel()
                       for photo in photos])


def report(what, ours, theirs):
    import numpy as np

    count, same = len(ours), int((ours.argmax(1) == theirs.argmax(1)).sum())
    difference = np.abs(ours - theirs)
    print(f"{what}, {count} photos, {len(set(ours.argmax(1)))} classes")
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
