#!/usr/bin/env python3
"""Which roundings make Octet and ONNX Runtime differ on a quantised network?

    benchmarks/onnx_roundings.py build/bin/octet QUANTISED.onnx PHOTOS [--skip N] [--limit 20] [--stride 1]

ONNX Runtime first turns the file into the operators that it runs (QLinearConv, QLinearAdd, ...), every output is made
visible, and each operator is computed by the rules of calib/QUANTIZATION.md

 - from the integers that ONNX Runtime itself handed to it, so that each line counts one rounding alone and nothing adds
   up;
 - from what the operator before it gave by the rules, so that everything adds up, as it does when Octet runs the file.

Then with ONNX Runtime's roundings in place of the rules' where they are known to differ, one after the other:

    sums         float32 multipliers, where rule 11 keeps 16 bits
    multipliers  step_in * step_weight, then / step_out, each rounded to float32; rule 6 rounds once, from float64
    division     an input is divided by its step; rule 2 multiplies it with the step's inverse

Beside it, the yardstick: ONNX Runtime against itself, the same file with its optimisations (true integers) and without
(QuantizeLinear and DequantizeLinear around operators on floats, which is how ONNX defines the file's meaning).
"""
import argparse
import collections
import tempfile
from pathlib import Path

import onnx_photos

onnx_photos.ensure_environment()

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

f32, f64 = np.float32, np.float64
ROUNDINGS = ("sums", "multipliers", "division")


def sixteen_bits(ratio):  # rule 11
    fraction, exponent = np.frexp(ratio)
    return f32(np.ldexp(np.rint(np.ldexp(fraction, 16)), exponent - 16))


def multiplier(step_in, step_weight, step_out, theirs):  # rule 6
    if "multipliers" in theirs:
        return f32(f32(step_in) * np.asarray(step_weight, f32)) / f32(step_out)
    return f32(f64(step_in) * np.asarray(step_weight, f64) / f64(step_out))


def limited(scaled, zero, limits):
    low, high = (f32(limit - zero) for limit in limits)
    return np.rint(np.clip(scaled, low, high)).astype(np.int64) + zero


def requantise(accumulator, factor, zero, limits):  # rules 7 and 9
    return limited(accumulator.astype(f32) * factor.astype(f32), zero, limits)


def convolve(x, w, attributes):
    """Exact: integers below 2^31 in float64."""
    group = attributes.get("group", 1)
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    down, across = attributes.get("strides", [1, 1])
    high, wide = attributes.get("dilations", [1, 1])
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right))).astype(f64)
    height = (x.shape[2] - high * (w.shape[2] - 1) - 1) // down + 1
    width = (x.shape[3] - wide * (w.shape[3] - 1) - 1) // across + 1
    outputs, inputs = w.shape[0] // group, w.shape[1]
    total = np.zeros((group, outputs, height * width))
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            part = x[0, :, i * high :: down, j * wide :: across][:, :height, :width]
            part = part.reshape(group, inputs, height * width)
            taps = w[:, :, i, j].reshape(group, outputs, inputs).astype(f64)
            total += taps * part if inputs == outputs == 1 else taps @ part
    return total.reshape(1, w.shape[0], height, width).astype(np.int64)


def column(values, rank):
    return np.reshape(values, (-1, *[1] * rank)) if np.ndim(values) else values


def limits_of(zero):
    return (-128, 127) if zero.dtype == np.int8 else (0, 255)


def by_the_rules(node, v, theirs):
    """(name, the node's output) from its inputs' values; None for what moves values or stays in floats. `theirs`: which
    of ONNX Runtime's roundings to take."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    n = [x if x.dtype.kind == "f" else x.astype(np.int64) for x in v]
    if node.op_type == "QuantizeLinear":
        if n[1].ndim or n[0].size == 0:
            return None
        scaled = n[0] / n[1] if "division" in theirs else n[0] * f32(1 / f64(n[1]))
        return "quantising (rule 2)", limited(scaled, n[2], limits_of(v[2]))
    if node.op_type == "QLinearConv":
        bias = column(n[8], 2) if len(n) > 8 else 0
        total = convolve(n[0] - n[2], n[3] - column(n[5], 3), attributes) + bias
        name = "depthwise convolutions (7)" if attributes.get("group", 1) > 1 else "convolutions (7)"
        return name, requantise(total, column(multiplier(n[1], n[4], n[6], theirs), 2), n[7], limits_of(v[7]))
    if node.op_type == "QLinearAdd":
        rounded = f32 if "sums" in theirs else sixteen_bits
        total = (n[0] - n[2]).astype(f32) * rounded(f64(n[1]) / f64(n[6]))
        total += (n[3] - n[5]).astype(f32) * rounded(f64(n[4]) / f64(n[6]))
        return "sums (11)", limited(total, n[7], limits_of(v[7]))
    if node.op_type == "QLinearGlobalAveragePool":
        total, count = (n[0] - n[2]).sum((2, 3), keepdims=True), n[0].shape[2] * n[0].shape[3]
        factor = multiplier(n[1], 1.0, f64(n[3]) * count, ())
        return "global averages (9)", requantise(total, factor, n[4], limits_of(v[4]))
    if node.op_type == "QGemm" and len(n) > 8:
        weight = n[3].T if attributes.get("transB", 0) else n[3]
        zero = n[5]
        total = (n[0] - n[2]) @ (weight - zero) + n[6]
        return "linear (7)", requantise(total, multiplier(n[1], n[4], n[7], theirs), n[8], limits_of(v[8]))
    return None


class Network:
    """The operators that ONNX Runtime runs for a file, every output visible."""

    def __init__(self, path):
        self.path = path
        with tempfile.TemporaryDirectory() as folder:
            flat = str(Path(folder, "flat.onnx"))
            self.session(path, "ORT_ENABLE_EXTENDED", flat)
            model = onnx.load(flat)
        self.nodes = model.graph.node
        self.constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        self.output = model.graph.output[0].name
        known = {output.name for output in model.graph.output}
        for node in self.nodes:
            for name in node.output:
                if name not in known:
                    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        self.visible = self.session(model.SerializeToString(), "ORT_DISABLE_ALL")
        self.input = self.visible.get_inputs()[0].name
        self.plain = {level: self.session(path, level) for level in ("ORT_ENABLE_ALL", "ORT_DISABLE_ALL")}

    @staticmethod
    def session(model, level, write_to=None):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        if write_to:
            options.optimized_model_filepath = write_to
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def values(self, x):
        names = [output.name for output in self.visible.get_outputs()]
        return dict(zip(names, self.visible.run(None, {self.input: x}))) | self.constants | {self.input: x}

    def followed(self, x, theirs):
        """The network's values by the rules, from the photo on, up to the first operator that has none, and the name
        of the last that was made."""
        last = None
        values = self.constants | {self.input: x}
        for node in self.nodes:
            inputs = [values[name] for name in node.input if name]
            made = by_the_rules(node, inputs, theirs)
            if made is not None:
                last = node.output[0]
                integer = next(v for v in reversed(inputs) if v.dtype in (np.uint8, np.int8) and v.ndim == 0)
                if node.op_type == "QLinearConv":
                    integer = inputs[7]
                values[node.output[0]] = made[1].astype(integer.dtype)
            elif node.op_type in ("Reshape", "Flatten", "Squeeze"):
                values[node.output[0]] = inputs[0].reshape(len(inputs[0]), -1)
            else:
                break
        return values, last


class Counts(collections.defaultdict):
    """name -> elements, those that differ, those that differ by more than one step, the largest difference."""

    def __init__(self):
        super().__init__(lambda: [0, 0, 0, 0])

    def add(self, name, ours, theirs):
        distance = np.abs(np.asarray(ours, np.int64) - np.asarray(theirs, np.int64))
        count = self[name]
        count[0] += distance.size
        count[1] += int((distance > 0).sum())
        count[2] += int((distance > 1).sum())
        count[3] = max(count[3], int(distance.max()))

    def show(self):
        for name, (size, different, far, most) in self.items():
            print(f"  {name:56s} {different:8d} of {size:10d} differ ({100 * different / size:8.4f} %), "
                  f"{100 - 100 * far / size:.3f} % within one step, all within {most}")


def compare(network, photos, how):
    alone, together, yardstick = Counts(), Counts(), Counts()
    last = network.nodes[-1]
    step = network.constants[last.input[1]] if last.op_type == "DequantizeLinear" else None
    for path in photos:
        x = onnx_photos.prepare(onnx_photos.load(path, how), how)
        values = network.values(x)
        for node in network.nodes:
            inputs = [values[name] for name in node.input if name]
            for theirs, name in ((), ""), (ROUNDINGS, ", ONNX Runtime's way"):
                made = by_the_rules(node, inputs, theirs)
                if made is not None:
                    alone.add(made[0] + name, made[1], values[node.output[0]])
        for count in range(len(ROUNDINGS) + 1):
            followed, name = network.followed(x, ROUNDINGS[:count])
            if name and name not in network.constants:
                taken = f", theirs: {', '.join(ROUNDINGS[:count])}" if count else ""
                together.add("final integers" + taken, followed[name], values[name])
        if step is not None:
            outputs = [session.run(None, {network.input: x})[0] for session in network.plain.values()]
            integers = [np.rint(output / step).astype(np.int64) for output in outputs]
            yardstick.add("final integers, optimised and as written", integers[1], integers[0])
    return alone, together, yardstick


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("octet")
    parser.add_argument("model")
    parser.add_argument("photos")
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--stride", type=int, default=1, help="every so many photos")
    o = parser.parse_args()
    how = onnx_photos.preprocessing(o.octet, o.model)
    photos = onnx_photos.photo_paths(o.photos, o.skip, o.limit, o.stride)
    network = Network(o.model)
    kinds = collections.Counter(node.op_type for node in network.nodes)
    print(f"{Path(o.model).name}, ONNX Runtime {onnxruntime.__version__}, {len(photos)} photos; it runs "
          + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    alone, together, yardstick = compare(network, photos, how)
    print("each operator from ONNX Runtime's own integers:"), alone.show()
    print("the whole network, from the photo on:"), together.show()
    print("ONNX Runtime against itself:"), yardstick.show()


main()
