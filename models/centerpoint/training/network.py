"""CenterPoint's network, from voxels to the maps of its heads, with the official checkpoint's 557 keys.

As det3d's nusc_centerpoint_voxelnet: SpMiddleResNetFHD, RPN and CenterHead. The maps leave as one tensor
[batch, 70, y, x], task by task, each task's in the order of HEADS: the channels of octet's
models/centerpoint/centerpoint.h.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from . import sparse as plain

TASKS = (("car",), ("truck", "construction_vehicle"), ("bus", "trailer"), ("barrier",), ("motorcycle", "bicycle"),
         ("pedestrian", "traffic_cone"))
HEADS = (("reg", 2), ("height", 1), ("dim", 3), ("rot", 2), ("vel", 2), ("hm", 0))  # 0: one a class
LABELS = [name for task in TASKS for name in task]  # a box's label in octet is an index here
STRIDE = 8  # voxels from one cell of a map to the next


def head_channels(head, task):
    return HEADS[head][1] or len(TASKS[task])


def channel_of():
    """First channel of each (task, head name), and how many there are in all."""
    first, channel = {}, 0
    for task in range(len(TASKS)):
        for head, (name, _) in enumerate(HEADS):
            first[task, name] = channel
            channel += head_channels(head, task)
    return first, channel


class SpconvBackend:
    """spconv 2, on GPUs."""

    def __init__(self):
        import spconv.pytorch as spconv
        self.SubMConv3d, self.SparseConv3d = spconv.SubMConv3d, spconv.SparseConv3d
        self.tensor_type = spconv.SparseConvTensor

    def tensor(self, features, indices, shape, batch):
        return self.tensor_type(features, indices.int().contiguous(), shape, batch)


class PlainBackend:
    SubMConv3d, SparseConv3d = plain.SubMConv3d, plain.SparseConv3d

    def tensor(self, features, indices, shape, batch):
        return plain.SparseTensor(features, indices, shape, batch)


def backend_for(device):
    if torch.device(device).type == "cuda":
        try:
            return SpconvBackend()
        except ImportError:
            print("spconv is not installed: sparse convolutions in plain PyTorch, several times slower", flush=True)
    return PlainBackend()


def norm1d(channels):
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)


def norm2d(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Sum(nn.Module):
    def forward(self, a, b):
        return F.relu(a + b)


class BasicBlock(nn.Module):
    def __init__(self, ops, channels, key):
        super().__init__()
        same = dict(bias=True, indice_key=key)
        self.conv1, self.bn1 = ops.SubMConv3d(channels, channels, 3, padding=1, **same), norm1d(channels)
        self.conv2, self.bn2 = ops.SubMConv3d(channels, channels, 3, padding=1, **same), norm1d(channels)
        self.add = Sum()  # what qat.py replaces, as `before` and `join` below

    def forward(self, x):
        y = self.conv1(x)
        y = self.conv2(y.replace_feature(F.relu(self.bn1(y.features))))
        return y.replace_feature(self.add(self.bn2(y.features), x.features))


class Triple(nn.ModuleDict):
    """A convolution under key 0, its batch-norm under 1, blocks behind them under the numbers they have."""

    def __init__(self, conv, channels, blocks=()):
        super().__init__({"0": conv, "1": norm1d(channels), **dict(blocks)})

    def forward(self, x):
        x = self["0"](x)
        x = x.replace_feature(F.relu(self["1"](x.features)))
        for key in list(self)[2:]:
            x = self[key](x)
        return x


class Encoder(nn.Module):
    def __init__(self, ops):
        super().__init__()
        block = lambda channels, key: BasicBlock(ops, channels, key)
        down = lambda cin, cout, padding: ops.SparseConv3d(cin, cout, 3, 2, padding, bias=False)
        self.before = nn.Identity()
        self.conv_input = Triple(ops.SubMConv3d(5, 16, 3, bias=False, indice_key="res0"), 16)
        self.conv1 = nn.ModuleList(block(16, "res0") for _ in range(2))
        self.conv2 = Triple(down(16, 32, 1), 32, (("3", block(32, "res1")), ("4", block(32, "res1"))))
        self.conv3 = Triple(down(32, 64, 1), 64, (("3", block(64, "res2")), ("4", block(64, "res2"))))
        self.conv4 = Triple(down(64, 128, [0, 1, 1]), 128, (("3", block(128, "res3")), ("4", block(128, "res3"))))
        self.extra_conv = Triple(ops.SparseConv3d(128, 128, (3, 1, 1), (2, 1, 1), bias=False), 128)

    def forward(self, x, stages=None):
        """[batch, 256, y, x]; `stages`, a dict, is filled with what octet's --dump-stage has."""
        x = self.conv_input(x.replace_feature(self.before(x.features)))
        for block in self.conv1:
            x = block(x)
        x = self.conv3(self.conv2(x))
        if stages is not None:
            stages["conv3"] = x.features
        dense = self.extra_conv(self.conv4(x)).dense()
        dense = dense.flatten(1, 2)  # the two levels of height become channels: c * 2 + z
        if stages is not None:
            stages["bev"] = dense
        return dense


class Sequence(nn.ModuleDict):
    """Convolutions under keys 1, 4, 7, ... or 0, 3, ..., each followed by its batch-norm and a ReLU."""

    def forward(self, x):
        keys = list(self)
        for conv, norm in zip(keys[::2], keys[1::2]):
            x = F.relu(self[norm](self[conv](x)))
        return x


def neck_block(cin, channels, stride):
    layers = {}
    for i in range(6):
        layers[str(1 + 3 * i)] = nn.Conv2d(channels if i else cin, channels, 3, 1 if i else stride, 1, bias=False)
        layers[str(2 + 3 * i)] = norm2d(channels)
    return Sequence(layers)


class Neck(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList((neck_block(256, 128, 1), neck_block(128, 256, 2)))
        same, twice = nn.Conv2d(128, 256, 1, bias=False), nn.ConvTranspose2d(256, 256, 2, 2, bias=False)
        self.deblocks = nn.ModuleList(Sequence({"0": conv, "1": norm2d(256)}) for conv in (same, twice))
        self.join = nn.ModuleList((nn.Identity(), nn.Identity()))

    def forward(self, x):
        fine = self.blocks[0](x)
        coarse = self.blocks[1](fine)
        return torch.cat([join(deblock(x)) for join, deblock, x in zip(self.join, self.deblocks, (fine, coarse))], 1)


class Head(nn.ModuleDict):
    """3x3 convolution, batch-norm, ReLU, 3x3 convolution: keys 0, 1, 3."""

    def __init__(self, channels, name):
        super().__init__({"0": nn.Conv2d(64, 64, 3, padding=1), "1": nn.BatchNorm2d(64),
                          "3": nn.Conv2d(64, channels, 3, padding=1)})
        if name == "hm":
            nn.init.constant_(self["3"].bias, -2.19)  # scores begin near 0.1

    def forward(self, x):
        return self["3"](F.relu(self["1"](self["0"](x))))


class CenterHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared_conv = Sequence({"0": nn.Conv2d(512, 64, 3, padding=1), "1": nn.BatchNorm2d(64)})
        self.tasks = nn.ModuleList(
            nn.ModuleDict({name: Head(head_channels(head, task), name) for head, (name, _) in enumerate(HEADS)})
            for task in range(len(TASKS)))

    def forward(self, x):
        x = self.shared_conv(x)
        return torch.cat([task[name](x) for task in self.tasks for name, _ in HEADS], 1)


class CenterPoint(nn.Module):
    def __init__(self, grid, ops):
        """grid: voxels along z, y, x; z one more than the range holds."""
        super().__init__()
        self.grid, self.ops = list(grid), ops
        self.backbone, self.neck, self.bbox_head = Encoder(ops), Neck(), CenterHead()
        first = tuple(self.backbone.conv_input["0"].weight.shape)
        if first != (16, 3, 3, 3, 5):
            raise RuntimeError(f"sparse weights are {first}; [out, kz, ky, kx, in] was expected, as spconv 2 has them")
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.out_channels > 3:
                nn.init.kaiming_normal_(module.weight, mode="fan_out" if module.stride == (1, 1) else "fan_in")

    def forward(self, features, indices, batch, stages=None):
        """features [voxels, 5], indices [voxels, 4] (batch, z, y, x) -> maps [batch, 70, y / 8, x / 8]"""
        x = self.backbone(self.ops.tensor(features, indices, self.grid, batch), stages)
        return self.bbox_head(self.neck(x.to(memory_format=torch.channels_last)))


def grid_of(limits, voxel):
    """z, y, x of a range (x, y, z from; x, y, z to)."""
    x, y, z = (int(round((limits[3 + i] - limits[i]) / voxel[i])) for i in range(3))
    return [z + 1, y, x]


def count_parameters(network):
    return sum(math.prod(p.shape) for p in network.parameters())
