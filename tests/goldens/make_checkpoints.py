"""Writes checkpoints/*.pt by hand, without PyTorch: the containers with zipfile and struct, the pickles with the pickle
module and stand-ins for PyTorch's classes, registered under their real names so that pickle writes the right GLOBALs.

    python3 make_checkpoints.py

checkpoints/expected.json says what a reader must find. make_torch_checkpoints.py writes real ones with PyTorch.
"""
import collections
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checkpoints")
CODES = {"Float": "f", "Double": "d", "Half": "e", "BFloat16": "H", "Char": "b", "Byte": "B", "Bool": "B", "Int": "i",
         "Long": "q", "ComplexFloat": "2f"}
OURS = {"Float": "f32", "Double": "f64", "Half": "f16", "BFloat16": "f32", "Char": "s8", "Byte": "u8", "Bool": "u8",
        "Int": "s32", "Long": "s64"}


def module(name, **content):
    made = sys.modules[name] = types.ModuleType(name)
    for key, value in content.items():
        value.__module__ = name
        value.__qualname__ = value.__name__ = key
        setattr(made, key, value)
    return made


def rebuild(*_):
    raise AssertionError("only named, never called")


def function():
    return lambda *_: rebuild()


module("torch", **{kind + "Storage": type(kind, (), {}) for kind in CODES})
module("torch._utils", _rebuild_tensor_v2=function(), _rebuild_parameter=function(),
       _rebuild_parameter_with_state=function(), _rebuild_qtensor=function())
module("torch._tensor", _rebuild_from_type_v2=function())
torch, utils = sys.modules["torch"], sys.modules["torch._utils"]


class Storage:
    def __init__(self, kind, values):
        self.kind, self.values = kind, values
        self.view = None  # (key, offset, elements): the legacy stream alone

    def data(self):
        if self.kind == "BFloat16":
            return b"".join(struct.pack("<f", v)[2:] for v in self.values)
        return b"".join(struct.pack("<" + CODES[self.kind], *([v, 0] if self.kind == "ComplexFloat" else [v]))
                        for v in self.values)


class Tensor:
    def __init__(self, storage, size, stride=None, offset=0):
        self.storage, self.size, self.offset = storage, tuple(size), offset
        self.stride = tuple(stride) if stride is not None else row_major(size)

    def __reduce_ex__(self, protocol):
        return utils._rebuild_tensor_v2, (self.storage, self.offset, self.size, self.stride, False,
                                          collections.OrderedDict())

    def elements(self):
        def walk(axis, at):
            if axis == len(self.size):
                yield self.storage.values[at]
                return
            for i in range(self.size[axis]):
                yield from walk(axis + 1, at + i * self.stride[axis])
        return list(walk(0, self.offset))


class Parameter(Tensor):
    def __reduce_ex__(self, protocol):
        return utils._rebuild_parameter, (Tensor(self.storage, self.size, self.stride, self.offset), True,
                                          collections.OrderedDict())


class ParameterWithState(Tensor):
    def __reduce_ex__(self, protocol):
        return utils._rebuild_parameter_with_state, (Tensor(self.storage, self.size), True, collections.OrderedDict(),
                                                     {"note": "x"})


class Subclass(Tensor):
    def __reduce_ex__(self, protocol):
        inner = Tensor(self.storage, self.size).__reduce_ex__(protocol)
        return sys.modules["torch._tensor"]._rebuild_from_type_v2, (inner[0], Conv2d, inner[1], {"note": "x"})


def row_major(size):
    stride, step = [], 1
    for n in reversed(size):
        stride.insert(0, step)
        step *= n
    return tuple(stride)


def dense(kind, size, start=1.0, cls=Tensor):
    count = 1
    for n in size:
        count *= n
    integer = kind in ("Char", "Byte", "Bool", "Int", "Long")
    values = [int(start) + i if integer else (start + i) * 0.25 for i in range(count)]
    if kind == "Bool":
        values = [i % 2 for i in range(count)]
    return cls(Storage(kind, values), size)


class Module:
    def __init__(self, **children):
        self.training = False
        self._parameters = collections.OrderedDict()
        self._buffers = collections.OrderedDict()
        self._non_persistent_buffers_set = set()
        self._backward_hooks = collections.OrderedDict()
        self._modules = collections.OrderedDict(children)


class Conv2d(Module):
    def __init__(self, start, bias=True):
        super().__init__()
        self._parameters["weight"] = dense("Float", (2, 1, 2, 2), start, Parameter)
        self._parameters["bias"] = dense("Float", (2,), start + 50, Parameter) if bias else None
        self.stride = (1, 1)


class BatchNorm2d(Module):
    def __init__(self):
        super().__init__()
        self._parameters["weight"] = dense("Float", (2,), 7, Parameter)
        self._buffers["running_mean"] = dense("Float", (2,), 9)
        self._buffers["num_batches_tracked"] = Tensor(Storage("Long", [42]), ())
        self._buffers["scratch"] = dense("Float", (3,), 1)
        self._non_persistent_buffers_set.add("scratch")


class CNN_Model(Module):  # named as the notebook names its network
    def __init__(self):
        super().__init__(cnn1=Conv2d(1), bn1=BatchNorm2d(), cnn2=Conv2d(3, bias=False), dropped=None,
                         block=Module(**{"0": Conv2d(5)}))
        self.ranges = {"input": 1.0}


class Optimizer:  # an unknown class with a state
    def __init__(self):
        self.state = {"lr": 0.1, "momentum": dense("Float", (4,), 3)}


module("torch.nn.modules.conv", Conv2d=Conv2d)
module("torch.nn.modules.batchnorm", BatchNorm2d=BatchNorm2d)
module("torch.nn.modules.module", Module=Module)
module("torch.optim.sgd", SGD=Optimizer)


class Pickler(pickle._Pickler):  # the Python one: it asks persistent_id about classes too
    def __init__(self, out, protocol, legacy):
        super().__init__(out, protocol)
        self.legacy, self.storages, self.kept = legacy, {}, []

    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            key = self.storages.setdefault(id(thing), (str(len(self.storages)), thing))[0]
            self.kept.append(thing)
            parts = ("storage", getattr(torch, thing.kind + "Storage"), key, "cpu", len(thing.values))
            return parts + (thing.view,) if self.legacy else parts
        if self.legacy and isinstance(thing, type) and issubclass(thing, Module):
            return "module", thing, "network.py", "class Network: ..."
        return None

    def save(self, thing, *rest, **more):
        if self.legacy and isinstance(thing, tuple) and thing[:1] == ("module",):  # the class within is a plain GLOBAL
            classes, self.persistent_id = self.persistent_id, lambda _: None
            try:
                return super().save(thing, *rest, **more)
            finally:
                self.persistent_id = classes
        return super().save(thing, *rest, **more)


def pickled(thing, protocol, legacy):
    out = io.BytesIO()
    pickler = Pickler(out, protocol, legacy)
    pickler.dump(thing)
    return out.getvalue(), list(pickler.storages.values())


def write_zip(name, thing, protocol=2, compression=zipfile.ZIP_STORED, root="archive"):
    data, storages = pickled(thing, protocol, False)
    with zipfile.ZipFile(os.path.join(FOLDER, name), "w", compression) as archive:
        def put(entry, content):
            archive.writestr(zipfile.ZipInfo(f"{root}/{entry}"), content, compression)
        put("data.pkl", data)
        put("byteorder", b"little")
        for key, storage in storages:
            put(f"data/{key}", storage.data())
        put("version", b"3\n")


def write_legacy(name, thing, protocol=2):
    data, storages = pickled(thing, protocol, True)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with open(os.path.join(FOLDER, name), "wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, system):
            file.write(pickle.dumps(part, protocol))
        file.write(data)
        file.write(pickle.dumps(sorted(key for key, _ in storages), protocol))
        for _, storage in sorted(storages, key=lambda pair: pair[0]):
            file.write(struct.pack("<q", len(storage.values)) + storage.data())


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    return f"{value:016x}"


def expectation(tensors):
    found = []
    for name, tensor in tensors:
        ours = OURS[tensor.storage.kind]
        code = {"f32": "f", "f64": "d", "f16": "e", "s8": "b", "u8": "B", "s32": "i", "s64": "q"}[ours]
        values = tensor.elements()
        found.append({"name": name, "dtype": ours, "shape": list(tensor.size),
                      "hash": fnv1a(struct.pack(f"<{len(values)}{code}", *values))})
    return found


def every_kind(legacy):
    state = collections.OrderedDict()
    for kind in OURS:
        state["kinds." + kind.lower()] = dense(kind, (2, 3), -3 if kind in ("Char", "Int", "Long", "Float") else 1)
    shared = Storage("Float", [i * 0.5 for i in range(24)])
    state["whole"] = Tensor(shared, (4, 6))
    state["transposed"] = Tensor(shared, (6, 4), (1, 6))
    state["sliced"] = Tensor(shared, (2, 3), (6, 2), 7)
    state["row"] = Tensor(shared, (6,), (1,), 6)
    state["expanded"] = Tensor(Storage("Half", [1.5, 2.5]), (3, 2), (0, 1))
    state["scalar"] = Tensor(Storage("Long", [7]), ())
    state["nothing"] = Tensor(Storage("Float", []), (0, 3))
    state["channels_last"] = Tensor(Storage("Float", [float(i) for i in range(16)]), (1, 4, 2, 2), (16, 1, 8, 4))
    state["parameter"] = dense("Float", (3,), 2, Parameter)
    state["with_state"] = dense("Float", (3,), 4, ParameterWithState)
    state["subclass"] = dense("Float", (3,), 6, Subclass)
    if legacy:
        viewed = Storage("Float", [float(i) for i in range(10)])
        viewed.view = ("v", 4, 5)
        state["view"] = Tensor(viewed, (2, 2), None, 1)
    return state


def module_tensors(found, prefix=""):
    tensors = [(prefix + k, v) for group in (found._parameters, found._buffers) for k, v in group.items()
               if v is not None and k not in found._non_persistent_buffers_set]
    for name, child in found._modules.items():
        tensors += module_tensors(child, prefix + name + ".") if child is not None else []
    return tensors


def main():
    os.makedirs(FOLDER, exist_ok=True)
    expected = {}
    for name, write, legacy, protocol in (("zip_protocol2.pt", write_zip, False, 2), ("zip_protocol4.pt", write_zip, False, 4),
                                          ("legacy_protocol2.pt", write_legacy, True, 2),
                                          ("legacy_protocol4.pt", write_legacy, True, 4)):
        state = every_kind(legacy)
        write(name, state, protocol)
        shown = list(state.items())
        if legacy:  # a view starts at its own offset
            tensor = shown.pop()[1]
            shown.append(("view", Tensor(tensor.storage, (2, 2), None, 1 + 4)))
        expected[name] = {"tensors": expectation(shown), "ignored": []}

    network = CNN_Model()
    best = {"epoch": 119, "top1": 97.0, "model": network, "optimizer": Optimizer()}
    ignored = ["epoch: an integer", "top1: a number", "optimizer: an object of torch.optim.sgd.SGD"]
    tensors = expectation(module_tensors(network))
    write_zip("BEST_checkpoint.pth.tar", best, root="BEST_checkpoint.pth")
    expected["BEST_checkpoint.pth.tar"] = {"tensors": tensors, "ignored": ignored}
    write_legacy("legacy_module.pth", best)
    expected["legacy_module.pth"] = {"tensors": tensors, "ignored": ignored}

    state = {"module.a": dense("Float", (4, 4)), "module.b": dense("Float", (2,), 5)}
    beside = {"state_dict": dict(state), "epoch": 3, "best": dense("Float", (1,)), "amp": None,
              "odd": dense("ComplexFloat", (2,))}
    beside["state_dict"]["module.odd"] = beside["odd"]
    write_zip("zip_parallel.pt", beside, 4, zipfile.ZIP_DEFLATED)
    expected["zip_parallel.pt"] = {
        "tensors": expectation([("a", state["module.a"]), ("b", state["module.b"])]),
        "ignored": ["epoch: an integer", "best: a tensor", "amp: None", "odd: a tensor",
                    "module.odd: a tensor in torch.ComplexFloatStorage"]}
    with open(os.path.join(FOLDER, "expected.json"), "w") as file:
        json.dump(expected, file, indent=1)
        file.write("\n")


main()
