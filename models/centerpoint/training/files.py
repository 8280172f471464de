"""Weights and the state of a run as files. A state is cut into files below 16 MiB, to fit through narrow doors: weights
with 24 bits each (8 of the exponent, 15 of the mantissa), Adam's two moments as bfloat16; about 63 MB in all.
"""
import glob
import json
import os

import numpy as np
import torch

PART = 15 << 20  # bytes


def write_file(path, data):
    with open(path + ".tmp", "wb") as f:
        f.write(data)
    os.replace(path + ".tmp", path)


def pack(values, size):
    """float32 -> the upper `size` (2 or 3) bytes of each, rounded to nearest."""
    bits = values.detach().float().cpu().contiguous().numpy().view("<u4").ravel().astype(np.uint64)
    bits = ((bits + (1 << (31 - 8 * size))) >> (32 - 8 * size)).astype("<u4")
    return bits.view(np.uint8).reshape(-1, 4)[:, :size].tobytes()


def unpack(data, size):
    bits = np.zeros((len(data) // size, 4), np.uint8)
    bits[:, 4 - size:] = np.frombuffer(data, np.uint8).reshape(-1, size)
    return torch.from_numpy(bits.reshape(-1).view("<f4").copy())


def save_state(folder, network, optimizer, about):
    """`about`: what else to go on from, JSON. The moments are those of network.parameters(), in their order."""
    os.makedirs(folder, exist_ok=True)
    blobs, entries = [], []
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            entries.append([name, list(tensor.shape), 3])
            blobs.append(pack(tensor, 3))
    for key in ("exp_avg", "exp_avg_sq") if optimizer is not None else ():
        for i, parameter in enumerate(network.parameters()):
            moment = optimizer.state.get(parameter, {}).get(key)
            entries.append([f"{key}.{i}", list(parameter.shape), 2])
            blobs.append(pack(torch.zeros_like(parameter) if moment is None else moment, 2))
    data = b"".join(blobs)
    parts = [data[i:i + PART] for i in range(0, len(data), PART)]
    for old in glob.glob(os.path.join(folder, "state.*")):
        os.remove(old)
    for i, part in enumerate(parts):
        write_file(os.path.join(folder, f"state.{i}.bin"), part)
    text = json.dumps({"parts": len(parts), "bytes": len(data), "entries": entries, "about": about})
    write_file(os.path.join(folder, "state.json"), text.encode())  # last: without it there is no state


def load_state(folder, network, optimizer=None):
    """`about`, or None where the folder holds no state."""
    path = os.path.join(folder, "state.json")
    if not os.path.exists(path):
        return None
    with open(path) as f:
        head = json.load(f)
    data = b""
    for i in range(head["parts"]):
        with open(os.path.join(folder, f"state.{i}.bin"), "rb") as f:
            data += f.read()
    if len(data) != head["bytes"]:
        raise SystemExit(f"{folder}: its state has {len(data)} bytes, {head['bytes']} were expected")
    tensors, at = {}, 0
    for name, shape, size in head["entries"]:
        count = int(np.prod(shape, dtype=np.int64)) * size
        tensors[name] = unpack(data[at:at + count], size).view(shape)
        at += count
    own = network.state_dict()
    for name, tensor in own.items():
        if name in tensors:
            tensor.copy_(tensors[name])
        elif tensor.is_floating_point():
            raise SystemExit(f"{folder}: its state has no {name}")
    if optimizer is not None and "exp_avg.0" in tensors:
        for i, parameter in enumerate(network.parameters()):
            optimizer.state[parameter] = {
                "step": torch.tensor(float(head["about"].get("steps", 0))),
                **{key: tensors[f"{key}.{i}"].to(parameter.device) for key in ("exp_avg", "exp_avg_sq")}}
    return head["about"]


def write_safetensors(path, tensors, metadata=None):
    """{name: tensor}; float32, float16 or int64."""
    names = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}
    header, blobs, at = {"__metadata__": metadata or {}}, [], 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])):
        data = tensor.detach().cpu().contiguous().numpy().tobytes()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
        blobs.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    write_file(path, len(text).to_bytes(8, "little") + text + b"".join(blobs))


def read_safetensors(path):
    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "I8": np.int8, "U8": np.uint8}
    with open(path, "rb") as f:
        data = f.read()
    size = int.from_bytes(data[:8], "little")
    header, result = json.loads(data[8:8 + size]), {}
    for name, entry in header.items():
        if name != "__metadata__":
            a, b = (8 + size + v for v in entry["data_offsets"])
            values = np.frombuffer(data[a:b], kinds[entry["dtype"]]).reshape(entry["shape"])
            result[name] = torch.from_numpy(values.copy())
    return result


def export(path, state, half=True, metadata=None):
    """A state dictionary with the official keys, sparse weights as [out, kz, ky, kx, in]. With `half`, weights of
    convolutions as float16; what a channel has one of stays float32 (a variance of intensities may be beyond float16).
    """
    tensors = {}
    for name, tensor in state.items():
        shrink = half and tensor.dim() > 1
        tensors[name] = tensor.half() if shrink else tensor.float() if tensor.is_floating_point() else tensor
    write_safetensors(path, tensors, metadata)
