#!/usr/bin/env python3
"""Makes notebook.json: the cat/dog notebook's own INT8 arithmetic, in PyTorch on the CPU, on seeded weights and photos.

Everything is float32 and in the notebook's order: float pass that records ranges, fold, quantise, integer pass. A
reader rebuilds weights and input from the generator below, takes each edge's amax from the file (a float pass is not
reproducible to the last bit, so it is the one thing that is given, as float32 bits), and must then match every hash.

  generator   state <- state * 6364136223846793005 + 1442695040888963407 (mod 2^64), first state 20261122;
              after each step u = double(state >> 40) / 2^24.
  weights     in the order of WEIGHT_ORDER, row-major; doubles rounded once to float32:
              weight ((2u - 1) * sqrt(3 / fan_in)) * 1.4     bias (2u - 1) * 0.1     gamma, running_var 0.5 + u
              beta, running_mean u - 0.5
              then bn1.bias[3] is set to 2000 (`bn1_bias_3` of the file), so that the 16-bit clip of biases bites;
              a much larger one would leave every layer with a handful of values.
  input       the same stream goes on: 2 x 3 x 224 x 224 pixels floor(u * 256).
  hashes      FNV-1a, 64 bits, over the int8 bytes in NCHW order of both images; convolutions after ReLU and
              requantising, before the pool.
"""
import json
import math
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

BIT, BIAS_LIMIT, BN1_BIAS_3 = 127, 32767, 2000.0
CONVS = ((3, 16, 5), (16, 32, 5), (32, 16, 3), (16, 8, 3))
LINEARS = ((968, 512), (512, 2))
LAYERS = ("cnn1", "cnn2", "cnn3", "cnn4", "fc1", "fc2")
WEIGHT_ORDER = [f"{kind}{i}.{part}" for i in range(1, 5) for kind, parts in (
    ("cnn", ("weight", "bias")), ("bn", ("weight", "bias", "running_mean", "running_var"))) for part in parts]
WEIGHT_ORDER += [f"fc{i}.{part}" for i in (1, 2) for part in ("weight", "bias")]
MASK = 2 ** 64 - 1


def uniforms(count, state):
    values = np.empty(count)
    for i in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK
        values[i] = (state >> 40) / 2 ** 24
    return values, state


def shape_of(name):
    layer, part = name.split(".")
    i = int(layer[-1]) - 1
    if layer.startswith("fc"):
        inputs, outputs = LINEARS[i]
        return (outputs, inputs) if part == "weight" else (outputs,)
    inputs, outputs, kernel = CONVS[i]
    return (outputs, inputs, kernel, kernel) if layer.startswith("cnn") and part == "weight" else (outputs,)


def values_of(name, u):
    layer, part = name.split(".")
    if layer.startswith("bn"):
        return u - 0.5 if part in ("bias", "running_mean") else 0.5 + u
    if part == "bias":
        return (2 * u - 1) * 0.1
    return (2 * u - 1) * math.sqrt(3 / math.prod(shape_of(name)[1:])) * 1.4


def seeded():
    state, weights = 20261122, {}
    for name in WEIGHT_ORDER:
        shape = shape_of(name)
        u, state = uniforms(math.prod(shape), state)
        weights[name] = torch.from_numpy(values_of(name, u).astype(np.float32).reshape(shape))
    u, state = uniforms(2 * 3 * 224 * 224, state)
    return weights, torch.from_numpy(np.floor(u * 256).astype(np.float32).reshape(2, 3, 224, 224))


def quantize(x, scale, limit):
    return torch.clamp(torch.round(x * scale), -limit, limit)


def linear_part(name, x, weight, bias):
    return F.conv2d(x, weight, bias) if name.startswith("cnn") else F.linear(x.flatten(1), weight, bias)


def float_pass(weights, x):
    """Ranges of the seven edges, which start at 1."""
    one = torch.tensor(1.0)
    ranges = [torch.maximum(x.abs().max(), one)]
    for name in LAYERS:
        x = linear_part(name, x, weights[name + ".weight"], weights[name + ".bias"])
        if name.startswith("cnn"):
            gamma, beta, mean, var = (weights[f"bn{name[-1]}.{part}"]
                                      for part in ("weight", "bias", "running_mean", "running_var"))
            x = F.relu(F.batch_norm(x, mean, var, gamma, beta, False, 0.1, 1e-5))
        ranges.append(torch.maximum(x.abs().max(), one))
        x = F.max_pool2d(x, 2, 2) if name.startswith("cnn") else x
    return ranges


def fold(weights, name):
    weight, bias = weights[name + ".weight"], weights[name + ".bias"]
    if name.startswith("fc"):
        return weight, bias
    gamma, beta, mean, var = (weights[f"bn{name[-1]}.{part}"]
                              for part in ("weight", "bias", "running_mean", "running_var"))
    gain = gamma / torch.sqrt(var + 1e-5)
    return weight * gain.reshape(-1, 1, 1, 1), bias * gain + (beta - mean * gain)


def fnv(tensor):
    value = 0xcbf29ce484222325
    for byte in tensor.to(torch.int8).contiguous().numpy().tobytes():
        value = ((value ^ byte) * 0x100000001b3) & MASK
    return f"{value:016x}"


def bits(x):
    return f"{struct.unpack('<I', struct.pack('<f', float(x)))[0]:08x}"


def edge_figures(q, amax, scale):
    return {"hash": fnv(q), "amax": float(amax), "amax_bits": bits(amax), "s": float(scale), "s_bits": bits(scale),
            "distinct": len(torch.unique(q)), "shape": list(q.shape)}


def integer_pass(weights, x):
    ranges = float_pass(weights, x)
    scales = [BIT / amax for amax in ranges]
    q = quantize(x, scales[0], BIT)
    report = {"input": edge_figures(q, ranges[0], scales[0])}
    for i, name in enumerate(LAYERS):
        weight, bias = fold(weights, name)
        s_in, s_out, s_w = scales[i], scales[i + 1], BIT / weight.abs().max()
        wq = quantize(weight, s_w, BIT)
        s_b = s_w * s_in
        bq = quantize(bias, s_b, BIAS_LIMIT)
        clipped = int((torch.round(bias * s_b).abs() > BIAS_LIMIT).sum())
        # Whole numbers: float64 sums are exact in any order and algorithm. Below 2^24 the notebook's float32 is too.
        exact = linear_part(name, q.double(), wq.double(), bq.double())
        acc = exact.float()
        bound = (q.abs().max() * wq.abs().flatten(1).sum(1).double() + bq.abs()).max()
        same = bool((linear_part(name, q, wq, bq).double() == exact).all())
        acc = F.relu(acc) if name.startswith("cnn") else acc
        q = torch.clamp(torch.round((acc * s_out) / (s_in * s_w)), -BIT, BIT)
        report[name] = {**edge_figures(q, ranges[i + 1], s_out), "s_w": float(s_w), "s_w_bits": bits(s_w),
                        "weight_hash": fnv(wq), "clipped_biases": clipped, "accumulator_bound": int(bound),
                        "largest_accumulator": int(exact.abs().max()), "torch_float32_was_exact": same}
        assert exact.abs().max() < 2 ** 24
        q_before_pool, q = q, F.max_pool2d(q, 2, 2) if name.startswith("cnn") else q
    report["fc2"]["values"] = q_before_pool.to(torch.int32).tolist()
    return report


def bites(report):
    """Some bias is clipped, and no layer but the last is left with few values."""
    return (sum(report[name]["clipped_biases"] for name in LAYERS) > 0
            and all(report[name]["distinct"] >= 32 for name in LAYERS[:5]))


def main():
    torch.backends.mkldnn.enabled = False  # its Winograd kernels would not be exact on whole numbers
    weights, x = seeded()
    weights["bn1.bias"][3] = BN1_BIAS_3
    edges = integer_pass(weights, x)
    report = {"bn1_bias_3": BN1_BIAS_3, "bites": bites(edges), "torch": torch.__version__, "edges": edges}
    with open(sys.argv[1] if len(sys.argv) > 1 else "notebook.json", "w") as file:
        json.dump(report, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
