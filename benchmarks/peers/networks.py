"""The four networks as plain lists of nodes, and their weights under the state-dict names that Octet reads.

Every contender's file is written from one such list and one set of arrays (onnx_files.py, ncnn_files.py); Octet gets
the same arrays as .safetensors and builds the network from its own definition (models/). That the outputs agree before
anything is timed therefore also proves that the two definitions are the same network.
"""

import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

SIDE = 224


@dataclass
class Node:
    op: str  # conv, relu, relu6, max_pool, add, mean, flatten, linear
    name: str  # of the node and of the tensor that it makes; conv and linear: the prefix of their weights
    inputs: list
    attributes: dict = field(default_factory=dict)


@dataclass
class Network:
    name: str
    mean: tuple  # a photo's bytes become (p - mean) / std, per channel
    std: tuple
    nodes: list = field(default_factory=list)
    shapes: dict = field(default_factory=lambda: {"image": (3, SIDE, SIDE)})

    @property
    def output(self):
        return self.nodes[-1].name

    def add(self, op, name, inputs, shape, **attributes):
        self.nodes.append(Node(op, name, inputs, attributes))
        self.shapes[name] = shape
        return name

    def conv(self, x, name, norm, out, kernel, stride=1, padding=0, groups=1, activation=None, bias=False, eps=1e-5):
        """padding: one number, or (before, behind) for rows and columns alike."""
        before, behind = padding if isinstance(padding, tuple) else (padding, padding)
        channels, side, _ = self.shapes[x]
        new_side = (side + before + behind - kernel) // stride + 1
        shape = (out, new_side, new_side)
        y = self.add("conv", name, [x], shape, channels=channels, out=out, kernel=kernel, stride=stride, before=before,
                     behind=behind, groups=groups, bias=bias, norm=norm, eps=eps)
        return self.add(activation, name + "." + activation, [y], shape) if activation else y

    def max_pool(self, x, name, kernel, stride, padding=0):
        channels, side, _ = self.shapes[x]
        new_side = (side + 2 * padding - kernel) // stride + 1
        return self.add("max_pool", name, [x], (channels, new_side, new_side), kernel=kernel, stride=stride,
                        padding=padding)

    def sum(self, name, a, b):
        return self.add("add", name, [a, b], self.shapes[a])

    def features(self, x, name):
        """Mean over height and width, as a vector."""
        channels = self.shapes[x][0]
        return self.flatten(self.add("mean", name, [x], (channels, 1, 1)))

    def flatten(self, x):
        return self.add("flatten", "flatten", [x], (math.prod(self.shapes[x]),))

    def linear(self, x, name, out):
        return self.add("linear", name, [x], (out,), features=self.shapes[x][0], out=out)

    def macs(self):
        total = 0
        for node in self.nodes:
            a = node.attributes
            if node.op == "conv":
                total += math.prod(self.shapes[node.name]) * a["channels"] // a["groups"] * a["kernel"] ** 2
            if node.op == "linear":
                total += a["features"] * a["out"]
        return total


IMAGENET = {"mean": (0.485 * 255, 0.456 * 255, 0.406 * 255), "std": (0.229 * 255, 0.224 * 255, 0.225 * 255)}


def catdog():
    net = Network("catdog", (0, 0, 0), (1, 1, 1))
    x = "image"
    for k, (out, kernel) in enumerate([(16, 5), (32, 5), (16, 3), (8, 3)], 1):
        x = net.conv(x, f"cnn{k}", f"bn{k}", out, kernel, activation="relu", bias=True)
        x = net.max_pool(x, f"maxpool{k}", 2, 2)
    net.linear(net.linear(net.flatten(x), "fc1", 512), "fc2", 2)
    return net


def mobilenet_v2():
    net = Network("mobilenet_v2", **IMAGENET)
    x = net.conv("image", "features.0.0", "features.0.1", 32, 3, 2, 1, activation="relu6")
    index = 1
    for expansion, out, repeats, first_stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                                  (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
        for i in range(repeats):
            x = inverted_residual(net, x, f"features.{index}", expansion, out, first_stride if i == 0 else 1)
            index += 1
    x = net.conv(x, "features.18.0", "features.18.1", 1280, 1, activation="relu6")
    net.linear(net.features(x, "mean"), "classifier.1", 1000)
    return net


def inverted_residual(net, start, name, expansion, out, stride):
    channels = net.shapes[start][0]
    hidden, x, k = channels * expansion, start, 0
    if expansion != 1:
        x = net.conv(x, f"{name}.conv.0.0", f"{name}.conv.0.1", hidden, 1, activation="relu6")
        k = 1
    x = net.conv(x, f"{name}.conv.{k}.0", f"{name}.conv.{k}.1", hidden, 3, stride, 1, hidden, activation="relu6")
    x = net.conv(x, f"{name}.conv.{k + 1}", f"{name}.conv.{k + 2}", out, 1)
    return net.sum(f"{name}.add", start, x) if stride == 1 and channels == out else x


def resnet50():
    net = Network("resnet50", **IMAGENET)
    x = net.conv("image", "conv1", "bn1", 64, 7, 2, 3, activation="relu")
    x = net.max_pool(x, "maxpool", 3, 2, 1)
    for stage, blocks in enumerate([3, 4, 6, 3]):
        for i in range(blocks):
            x = bottleneck(net, x, f"layer{stage + 1}.{i}", 64 << stage, 2 if stage > 0 and i == 0 else 1)
    net.linear(net.features(x, "avgpool"), "fc", 1000)
    return net


def bottleneck(net, start, name, width, stride):
    out = 4 * width
    x = net.conv(start, f"{name}.conv1", f"{name}.bn1", width, 1, activation="relu")
    x = net.conv(x, f"{name}.conv2", f"{name}.bn2", width, 3, stride, 1, activation="relu")
    x = net.conv(x, f"{name}.conv3", f"{name}.bn3", out, 1)
    skip = start
    if stride != 1 or net.shapes[start][0] != out:
        skip = net.conv(start, f"{name}.downsample.0", f"{name}.downsample.1", out, 1, stride)
    y = net.sum(f"{name}.add", x, skip)
    return net.add("relu", f"{name}.relu3", [y], net.shapes[y])


def efficientnet_lite0():
    net = Network("efficientnet_lite0", (127, 127, 127), (128, 128, 128))

    def conv(x, name, norm, out, kernel, stride=1, groups=1, activation="relu6"):
        side = net.shapes[x][1]  # TensorFlow's "SAME": the larger half of an odd padding lies behind
        padding = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        return net.conv(x, name, norm, out, kernel, stride, (padding // 2, padding - padding // 2), groups, activation,
                        eps=1e-3)

    x = conv("image", "_conv_stem", "_bn0", 32, 3, 2)
    block = 0
    for kernel, first_stride, expansion, out, repeats in [(3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2),
                                                          (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
                                                          (3, 1, 6, 320, 1)]:
        for i in range(repeats):
            name, start, stride = f"_blocks.{block}", x, first_stride if i == 0 else 1
            channels = net.shapes[start][0]
            if expansion != 1:
                x = conv(x, f"{name}._expand_conv", f"{name}._bn0", channels * expansion, 1)
            hidden = net.shapes[x][0]
            x = conv(x, f"{name}._depthwise_conv", f"{name}._bn1", hidden, kernel, stride, hidden)
            x = conv(x, f"{name}._project_conv", f"{name}._bn2", out, 1, activation=None)
            if stride == 1 and channels == out:
                x = net.sum(f"{name}.add", start, x)
            block += 1
    x = conv(x, "_conv_head", "_bn1", 1280, 1)
    net.linear(net.features(x, "mean"), "_fc", 1000)
    return net


NETWORKS = {f.__name__: f for f in (catdog, mobilenet_v2, resnet50, efficientnet_lite0)}


def photos(seed, count):
    """[count, SIDE, SIDE, 3] bytes: random fields, smooth on three scales as photos are, and a little noise."""
    random = np.random.default_rng(seed)
    result = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for i in range(count):
        field_ = np.zeros((SIDE, SIDE, 3))
        for cells, amplitude in ((3, 80), (10, 40), (40, 20)):
            grid = random.uniform(-amplitude, amplitude, (cells + 1, cells + 1, 3))
            at = np.linspace(0, cells, SIDE, endpoint=False)
            low, part = at.astype(int), (at % 1)[:, None]
            rows = grid[low] * (1 - part[:, :, None]) + grid[low + 1] * part[:, :, None]
            field_ += rows[:, low] * (1 - part[None]) + rows[:, low + 1] * part[None]
        field_ += random.uniform(64, 192, 3) + random.normal(0, 4, field_.shape)
        result[i] = np.clip(np.rint(field_), 0, 255)
    return result


def to_input(net, pixels):
    """What the network sees: float32 [count, 3, SIDE, SIDE]."""
    mean, std = np.float32(net.mean), np.float32(net.std)
    return np.ascontiguousarray(((pixels.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2))


def seeded_weights(net, seed, statistics):
    """Weights for measuring speed that still let 50 layers of INT8 be compared, as trained ones do: with independent
    ones a network is chaotic, one changed rounding moves the outputs by many steps. So a kernel's taps vary little
    around one value (it smooths, and averages roundings out), a batch-norm normalises (statistics(net, state) has to
    give the mean and variance of each convolution's output on real inputs) and shifts by about one, so that most values
    pass the ReLU."""
    random = np.random.default_rng(seed)
    state = {}
    for node in net.nodes:
        a = node.attributes
        if node.op == "conv":
            shape = (a["out"], a["channels"] // a["groups"], a["kernel"], a["kernel"])
            fan_out = a["out"] // a["groups"] * a["kernel"] ** 2
            taps = 1 + 0.3 * random.normal(0, 1, shape)
            weight = random.normal(0, math.sqrt(2 / fan_out), shape[:2] + (1, 1)) * taps
            state[node.name + ".weight"] = weight.astype(np.float32)
            norm = a["norm"]
            state[norm + ".weight"] = random.uniform(0.7, 1.3, a["out"]).astype(np.float32)
            state[norm + ".bias"] = random.normal(1, 0.2, a["out"]).astype(np.float32)
        if node.op == "linear":
            state[node.name + ".weight"] = random.normal(0, 0.01, (a["out"], a["features"])).astype(np.float32)
            state[node.name + ".bias"] = np.zeros(a["out"], np.float32)
    for norm, (mean, variance) in statistics(net, state).items():
        state[norm + ".running_mean"] = mean.astype(np.float32)
        state[norm + ".running_var"] = variance.astype(np.float32)
    return state


def fold(net, state):
    """{name: (weight, bias)}, batch-norm folded into the convolutions in float64."""
    folded = {}
    for node in net.nodes:
        if node.op not in ("conv", "linear"):
            continue
        weight = state[node.name + ".weight"].astype(np.float64)
        bias = state.get(node.name + ".bias", np.zeros(len(weight))).astype(np.float64)
        if norm := node.attributes.get("norm"):
            value = lambda key: state[f"{norm}.{key}"].astype(np.float64)
            gain = value("weight") / np.sqrt(value("running_var") + node.attributes["eps"])
            weight = weight * gain[:, None, None, None]
            bias = bias * gain + value("bias") - value("running_mean") * gain
        folded[node.name] = (weight.astype(np.float32), bias.astype(np.float32))
    return folded


class _StateDictUnpickler(pickle.Unpickler):
    """Reads the state dict of a legacy PyTorch file and can make nothing else."""

    def persistent_load(self, reference):
        _, storage_type, key, _, count, *_ = reference
        return key, storage_type, count

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if module == "torch" and name in ("FloatStorage", "LongStorage"):
            return name
        raise pickle.UnpicklingError(f"{module}.{name} in a state dict")


def read_legacy_checkpoint(path):
    """{key: array} of a state dict in PyTorch's format from before version 1.6: five pickles, then the storages."""
    with open(path, "rb") as file:
        read = lambda: _StateDictUnpickler(file).load()
        if read() != 0x1950A86A20F9469CFC6C:
            raise SystemExit(f"{path}: not a legacy PyTorch checkpoint")
        read(), read()
        tensors, keys = read(), read()
        types = {s[0]: "<f4" if s[1] == "FloatStorage" else "<i8" for s, *_ in tensors.values()}
        storages = {}
        for key in keys:
            count = int(np.frombuffer(file.read(8), "<i8")[0])
            storages[key] = np.frombuffer(file.read(count * int(types[key][-1])), types[key])
    state = {}
    for name, (storage, offset, size, stride) in tensors.items():
        data = storages[storage[0]][offset:]
        item = data.itemsize
        state[name] = np.lib.stride_tricks.as_strided(data, size, [s * item for s in stride]).copy()
    return state
