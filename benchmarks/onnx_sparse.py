#!/usr/bin/env python3
"""CenterPoint's exports, run by others on a real frame, beside Octet.

    benchmarks/onnx_sparse.py build/bin/octet FRAME [FLAGS OF octet export ...]

 - sparse part: the operators of runtime/onnx/sparse.md, written here in numpy a second time from that page alone, in
   onnx's own reference evaluator (which knows everything else in the file); its output beside Octet's map from above;
 - dense part: in ONNX Runtime, fed with Octet's map from above; its maps beside those of Octet's heads;

each in INT8, FP32 and half precision; onnx.checker must accept every file. Needs what compare_onnx.py needs.
"""
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnx_photos

onnx_photos.ensure_environment()

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun


def keys_of(sites, grid):
    z, y, x = grid
    sites = sites.astype(np.int64)
    return ((sites[:, 0] * z + sites[:, 1]) * y + sites[:, 2]) * x + sites[:, 3]


def sites_of(keys, grid):
    z, y, x = grid
    return np.stack([keys // (x * y * z), keys // (x * y) % z, keys // x % y, keys % x], 1).astype(np.int32)


def taps(kernel):
    return ((k, np.array(np.unravel_index(k, kernel))) for k in range(int(np.prod(kernel))))


def inside(cells, grid):
    return ((cells[:, 1:] >= 0) & (cells[:, 1:] < np.array(grid))).all(1)


def rows_of(wanted, sites, grid):
    """For each cell its row among `sites`, which ascend, or -1."""
    keys, have = keys_of(wanted, grid), keys_of(sites, grid)
    at = np.minimum(np.searchsorted(have, keys), len(have) - 1)
    return np.where(inside(wanted, grid) & (have[at] == keys), at, -1) if len(have) else np.full(len(wanted), -1)


class SparseSites(OpRun):
    op_domain = "octet.sparse"

    def _run(self, sites, kernel_shape, strides, padding, dilations, input_grid, output_grid):
        reached = []
        for _, tap in taps(kernel_shape):
            moved = sites.astype(np.int64)
            moved[:, 1:] += np.array(padding) - tap * dilations
            even = (moved[:, 1:] % strides == 0).all(1)
            moved[:, 1:] //= strides
            reached.append(keys_of(moved[even & inside(moved, output_grid)], output_grid))
        return (sites_of(np.unique(np.concatenate(reached)), output_grid),)


class SparseConv(OpRun):
    op_domain = "octet.sparse"

    def _run(self, x, sites_in, sites_out, weight, bias=None, kernel_shape=None, strides=None, padding=None,
             dilations=None, input_grid=None, output_grid=None, submanifold=None, inverse=None, inverse_of=None,
             rulebook=None, weight_layout=None):
        assert not inverse and weight_layout == "OZYXI"
        flat = weight.reshape(len(weight), -1, x.shape[1])
        y = np.zeros((len(sites_out), len(weight)), np.float32)
        for k, tap in taps(kernel_shape):
            cells = sites_out.astype(np.int64)
            cells[:, 1:] = cells[:, 1:] * strides - padding + tap * dilations
            rows = rows_of(cells, sites_in, input_grid)
            y[rows >= 0] += x[rows[rows >= 0]].astype(np.float32) @ flat[:, k].T.astype(np.float32)
        return ((y if bias is None else y + bias.astype(np.float32)).astype(x.dtype),)


class SparseToDense(OpRun):
    op_domain = "octet.sparse"

    def _run(self, x, sites, frames=1, input_grid=None):
        z, y, width = input_grid
        dense = np.zeros((int(frames), x.shape[1], z, y, width), x.dtype)
        dense[sites[:, 0], :, sites[:, 1], sites[:, 2], sites[:, 3]] = x
        return (dense.reshape(int(frames), -1, y, width),)


def safetensors(path):
    data = Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    types = {"F32": np.float32, "I8": np.int8, "U8": np.uint8, "I64": np.int64, "I32": np.int32, "I16": np.int16}
    header = json.loads(data[8 : 8 + size])
    return {name: np.frombuffer(data[8 + size :][slice(*t["data_offsets"])], types[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items() if name != "__metadata__"}


def compare(what, ours, theirs, step=None):
    ours, theirs = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
    assert ours.size == theirs.size, (ours.shape, theirs.shape)
    off = np.abs(ours - theirs)
    there = (ours != 0) | (theirs != 0)
    line = f"{what}: {ours.size} values up to {np.abs(ours).max():.4g}, {there.sum()} not 0 on both sides; "
    line += f"|difference| mean {off.mean():.3g}, largest {off.max():.3g}"
    if step:
        steps = np.rint(off[there] / step)
        same, near = 100 * (steps == 0).mean(), 100 * (steps <= 1).mean()
        line += f"; of those, the same integer {same:.3f} %, within one {near:.3f} %"
        line += f", within {steps.max():.0f}"
    print(line, flush=True)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    octet, frame, *flags = sys.argv[1:]
    print(f"{Path(frame).name}, onnx {onnx.__version__}, ONNX Runtime {onnxruntime.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        maps = {p: one_precision(octet, frame, flags, p, Path(folder)) for p in ("int8", "fp32", "fp16")}
        compare("the yardstick: Octet's maps in FP32 and in INT8", maps["fp32"], maps["int8"])


def export(octet, part, precision, flags, path):
    subprocess.check_call([octet, "export", "centerpoint", "--part", part, "--precision", precision, "--opset", "21",
                           "--out", path, "--quiet", "--json", *flags], stdout=subprocess.DEVNULL)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    print(f"{precision} {part}: {Path(path).stat().st_size / 1e6:.2f} MB, onnx.checker accepts it", flush=True)
    return model


def one_precision(octet, frame, flags, precision, folder):
    dump, path = folder / "dump.safetensors", folder / "part.onnx"
    subprocess.check_call([octet, "run", "centerpoint", frame, "--precision", precision.replace("fp16", "fp32"),
                           "--dump-stage", "heads", "--dump", dump, "--quiet", "--json", *flags],
                          stdout=subprocess.DEVNULL)
    stages = safetensors(dump)
    named = lambda end: next(value for name, value in stages.items() if name.endswith(end))
    model = export(octet, "sparse", precision, flags, path)
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    integers = [n for n in model.graph.node if n.op_type == "DequantizeLinear"]
    step = float(constants[integers[-1].input[1]]) if integers else None
    first = next(n for n in model.graph.node if n.op_type == "SparseConv")
    grid = next(list(a.ints) for a in first.attribute if a.name == "input_grid")
    sites, features = sites_of(named("keys"), grid), named("features")
    bev = named("backbone.dense").astype(np.float32)
    bev = np.ascontiguousarray((bev * np.float32(step) if step else bev).transpose(0, 3, 1, 2))
    start = time.time()
    evaluator = ReferenceEvaluator(model, new_ops=[SparseSites, SparseConv, SparseToDense])
    theirs = evaluator.run(None, {"input": features, "input_sites": sites})[0]
    compare(f"{precision} sparse part, reference evaluator ({time.time() - start:.0f} s)", bev, theirs, step)

    export(octet, "dense", precision, flags, path)
    maps = named("maps")
    for level in ("ORT_ENABLE_ALL", "ORT_DISABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        theirs = session.run(None, {"input": bev})[0]
        what = "optimised" if level == "ORT_ENABLE_ALL" else "as written"
        compare(f"{precision} dense part, ONNX Runtime, {what}", maps, theirs)
    return maps


main()
