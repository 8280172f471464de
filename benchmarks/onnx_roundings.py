#!/usr/bin/env python3
"""Which rounding makes Octet and ONNX Runtime differ on a quantised network?

    benchmarks/onnx_roundings.py QOPERATOR.onnx INPUTS.npy

Every operator of the file (QuantizeLinear, QLinearConv without groups or dilation, QLinearAdd, QLinearGlobalAveragePool,
QGemm, u8 activations) is computed by the rules of calib/QUANTIZATION.md from the integers that ONNX Runtime itself handed
to it, so that each line counts one rounding alone; sums also with float32 multipliers instead of rule 11's 16 bits.
INPUTS.npy: float32 [N, C, H, W], preprocessed. Needs numpy, onnx, onnxruntime (compare_onnx.py makes such an environment).
"""
import collections
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

f32, f64 = np.float32, np.float64


def requantise(accumulator, multiplier, zero):  # rules 7 and 9
    product = accumulator.astype(f32) * multiplier.astype(f32)
    return np.rint(np.clip(product, f32(-zero), f32(255 - zero))).astype(np.int64) + zero


def sixteen_bits(ratio):  # rule 11
    fraction, exponent = np.frexp(ratio)
    return f32(np.ldexp(np.rint(np.ldexp(fraction, 16)), exponent - 16))


def multiplier(step_in, step_weight, step_out):  # rule 6
    return f32(f64(step_in) * np.asarray(step_weight, f64) / f64(step_out))


def convolve(x, w, attributes):
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    down, across = attributes.get("strides", [1, 1])
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = (x.shape[2] - w.shape[2]) // down + 1, (x.shape[3] - w.shape[3]) // across + 1
    total = np.zeros((x.shape[0], w.shape[0], height, width))
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            part = x[:, :, i : i + down * (height - 1) + 1 : down, j : j + across * (width - 1) + 1 : across]
            total += np.einsum("nchw,oc->nohw", part, w[:, :, i, j], optimize=True)
    return total.astype(np.int64)


def column(values, rank):
    return np.reshape(values, (-1, *[1] * rank)) if np.ndim(values) else values


def candidates(node, v):
    """(name, integers) of each way of computing the node from its inputs' values."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "QuantizeLinear":
        scaled = v[0] * f32(1 / f64(v[1]))
        yield "quantise (rule 2)", np.rint(np.clip(scaled, -v[2], 255 - v[2])).astype(np.int64) + v[2]
    elif node.op_type == "QLinearConv":
        if attributes.get("group", 1) != 1:
            return
        total = convolve(v[0] - v[2], v[3] - column(v[5], 3), attributes) + (column(v[8], 2) if len(v) > 8 else 0)
        yield "convolution (rule 7)", requantise(total, column(multiplier(v[1], v[4], v[6]), 2), v[7])
    elif node.op_type == "QLinearAdd":
        for name, rounded in (("sum (rule 11, 16 bits)", sixteen_bits), ("sum (float32 multipliers)", f32)):
            total = (v[0] - v[2]).astype(f32) * rounded(f64(v[1]) / f64(v[6]))
            total += (v[3] - v[5]).astype(f32) * rounded(f64(v[4]) / f64(v[6]))
            yield name, np.rint(np.clip(total, -v[7], 255 - v[7])).astype(np.int64) + v[7]
    elif node.op_type == "QLinearGlobalAveragePool":
        total, count = (v[0] - v[2]).sum((2, 3), keepdims=True), v[0].shape[2] * v[0].shape[3]
        yield "global average (rule 9)", requantise(total, multiplier(v[1], 1.0, f64(v[3]) * count), v[4])
    elif node.op_type == "QGemm":
        total = (v[0] - v[2]) @ (v[3] - column(v[5], 1)).T + v[6]
        yield "linear (rule 7)", requantise(total, multiplier(v[1], v[4], v[7]), v[8])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    model = onnx.load(sys.argv[1])
    inputs = np.load(sys.argv[2])
    known = {output.name for output in model.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if name not in known:
                model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(None, {session.get_inputs()[0].name: inputs})))
    values |= {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    values[session.get_inputs()[0].name] = inputs

    counts = collections.defaultdict(lambda: [0, 0, 0])
    for node in model.graph.node:
        v = [values[name] for name in node.input]
        v = [x if x.dtype == f32 else x.astype(np.int64) for x in v]
        for name, made in candidates(node, v):
            distance = np.abs(made - values[node.output[0]].astype(np.int64))
            count = counts[name]
            count[0] += distance.size
            count[1] += int((distance > 0).sum())
            count[2] = max(count[2], int(distance.max()))
    for name, (size, different, most) in counts.items():
        print(f"{name:28s} {different:6d} of {size:9d} differ ({100 * different / size:.4f} %), by at most {most}")


main()
