"""Writes checkpoints/torch_*.pt and torch_expected.json with a real PyTorch (made with 1.13.1 of Debian 12).

    python3 make_torch_checkpoints.py

A small network of the notebook's layers: as a state dict, as a whole module under 'model' beside an optimizer, wrapped in
DataParallel, in the zip form and in the legacy stream, plus tensors of every type, transposed and sliced.
"""
import collections
import json
import os
import struct

import torch
from torch import nn

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checkpoints")
OURS = {torch.float32: ("f32", "f"), torch.float64: ("f64", "d"), torch.float16: ("f16", "e"), torch.bfloat16: ("f32", "f"),
        torch.int8: ("s8", "b"), torch.uint8: ("u8", "B"), torch.bool: ("u8", "B"), torch.int32: ("s32", "i"),
        torch.int64: ("s64", "q")}


class CNN_Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn1 = nn.Conv2d(3, 2, 3)
        self.bn1 = nn.BatchNorm2d(2)
        self.relu1 = nn.ReLU()
        self.block = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.MaxPool2d(2), nn.Linear(4, 3))
        self.register_buffer("scratch", torch.ones(2), persistent=False)
        self.register_parameter("absent", None)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    return f"{value:016x}"


def expectation(state):
    found = []
    for name, tensor in state.items():
        ours, code = OURS[tensor.dtype]
        values = tensor.detach().contiguous().flatten().tolist()
        found.append({"name": name, "dtype": ours, "shape": list(tensor.shape),
                      "hash": fnv1a(struct.pack(f"<{len(values)}{code}", *values))})
    return found


def main():
    torch.manual_seed(7)
    network = CNN_Model().eval()
    network.bn1.running_mean.uniform_()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    kinds = collections.OrderedDict((str(t).split(".")[1], torch.arange(-3, 3).reshape(2, 3).to(t)) for t in OURS)
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    kinds.update(base=base, transposed=base.t(), sliced=base[1:3, 1:4], row=base[2], scalar=torch.tensor(2.5),
                 nothing=torch.zeros(0, 3), channels_last=torch.rand(1, 3, 2, 2).to(memory_format=torch.channels_last),
                 expanded=torch.tensor([1.0, 2.0]).expand(3, 2), parameter=nn.Parameter(torch.rand(2)))
    best = {"epoch": 3, "model": network, "optimizer": optimizer, "loss": 0.25}
    beside = {"epoch": 3, "state_dict": nn.DataParallel(network).state_dict(), "optimizer": optimizer.state_dict()}
    files = {"state": (network.state_dict(), network.state_dict(), []),
             "kinds": (kinds, kinds, []),
             "module": (best, network.state_dict(),
                        ["epoch: an integer", "optimizer: an object of torch.optim.sgd.SGD", "loss: a number"]),
             "parallel": (beside, network.state_dict(), ["epoch: an integer", "optimizer: a dict"])}
    expected = {}
    for name, (thing, state, ignored) in files.items():
        for form in ("zip", "legacy"):
            if (name, form) == ("module", "legacy"):
                continue  # holds the source text of PyTorch's layers; reads well, but is not ours to commit
            file = f"torch_{name}_{form}.pt"
            torch.save(thing, os.path.join(FOLDER, file), _use_new_zipfile_serialization=form == "zip")
            expected[file] = {"tensors": expectation(state), "ignored": ignored}
    with open(os.path.join(FOLDER, "torch_expected.json"), "w") as file:
        json.dump(expected, file, indent=1)
        file.write("\n")


main()
