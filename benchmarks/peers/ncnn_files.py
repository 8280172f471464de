"""ncnn's two files, written directly: NAME.param (text: one line a layer) and NAME.bin (its weights in the same order).

ncnn's wheel has no quantiser, so the INT8 files are written here from the same folded weights and the same ranges, the
way ncnn's own ncnn2int8 lays them out: s8 weights with a scale per output channel, one scale for the input, and a scale
for the output where the next layer can take it as 8 bits. Adds, pools and the mean run in float there, as ncnn does it.
"""

import numpy as np

FLOAT_TAG, INT8_TAG = 0, 0x000D4B38
RELU, CLIP = 1, 3  # activation types


def consumers(net):
    users = {}
    for node in net.nodes:
        for name in node.inputs:
            users.setdefault(name, []).append(node)
    return users


class Files:
    def __init__(self, net, folded, amax):
        """amax: {tensor: max |x|} for INT8, None for FP32."""
        self.net, self.folded, self.amax = net, folded, amax
        self.users = consumers(net)
        self.lines, self.binary, self.blobs = [], bytearray(), 0
        self.alias = {}  # tensor -> the blob that holds it (activations are part of their convolution)
        self.pending = {}  # tensor -> blobs of its split, one for each user

    def layer(self, kind, name, inputs, outputs, parameters=()):
        text = " ".join(f"{key}={value}" for key, value in parameters)
        self.lines.append(f"{kind} {name} {len(inputs)} {len(outputs)} {' '.join(inputs + outputs)} {text}".rstrip())
        self.blobs += len(outputs)

    def publish(self, tensor, blob):
        """A blob with several users goes through a Split layer."""
        count = len(self.users.get(tensor, []))
        if count <= 1:
            self.pending[tensor] = [blob]
            return
        copies = [f"{blob}_{i}" for i in range(count)]
        self.layer("Split", f"split_{blob}", [blob], copies)
        self.pending[tensor] = copies

    def take(self, tensor):
        return self.pending[self.alias.get(tensor, tensor)].pop(0)

    def only_user(self, tensor):
        users = self.users.get(tensor, [])
        return users[0] if len(users) == 1 else None

    def raw(self, values):
        self.binary += np.ascontiguousarray(values, np.float32).tobytes()

    def weights(self, values, int8):
        self.binary += np.uint32(INT8_TAG if int8 else FLOAT_TAG).tobytes()
        self.binary += np.ascontiguousarray(values, np.int8 if int8 else np.float32).tobytes()
        self.binary += bytes(-len(self.binary) % 4)

    def weighted(self, node):
        """Convolution or linear layer, with the activation behind it."""
        a = node.attributes
        weight, bias = self.folded[node.name]
        result, activation = node.name, []
        following = self.only_user(node.name)
        if following is not None and following.op in ("relu", "relu6"):
            result = following.name
            activation = [(9, RELU)] if following.op == "relu" else [(9, CLIP), (-23310, "2,0.0,6.0")]
        scale_term, scales = 0, None
        if self.amax:
            scales = 127 / np.maximum(np.abs(weight).reshape(len(weight), -1).max(axis=1), 1e-30)
            shape = (-1,) + (1,) * (weight.ndim - 1)
            weight = np.clip(np.rint(weight * scales.reshape(shape)), -127, 127)
            scale_term = 1
            target = self.only_user(result)
            if node.op == "conv" and target is not None and target.op == "conv":
                scale_term = 101
        self.weights(weight, bool(self.amax))
        self.raw(bias)
        if self.amax:
            self.raw(scales)
            self.raw([127 / self.amax[node.inputs[0]]])
            if scale_term > 100:
                self.raw([127 / self.amax[result]])
        inputs = [self.take(node.inputs[0])]
        if node.op == "linear":
            parameters = [(0, a["out"]), (1, 1), (2, weight.size), (8, scale_term)]
            self.layer("InnerProduct", node.name, inputs, [result], parameters)
        else:
            parameters = [(0, a["out"]), (1, a["kernel"]), (3, a["stride"]), (4, a["before"]), (14, a["before"]),
                          (15, a["behind"]), (16, a["behind"]), (5, 1), (6, weight.size), (8, scale_term)] + activation
            kind = "Convolution"
            if a["groups"] > 1:
                kind, parameters = "ConvolutionDepthWise", parameters + [(7, a["groups"])]
            self.layer(kind, node.name, inputs, [result], parameters)
        self.publish(result, result)
        return result

    def write(self, prefix):
        done = set()
        self.layer("Input", "image", [], ["image"])
        self.publish("image", "image")
        for node in self.net.nodes:
            a, name = node.attributes, node.name
            if name in done:
                continue
            if node.op in ("conv", "linear"):
                done.add(self.weighted(node))
                continue
            inputs = [self.take(x) for x in node.inputs]
            if node.op == "relu":
                self.layer("ReLU", name, inputs, [name])
            elif node.op == "max_pool":  # mode 1: no padding but what is asked for, sides rounded down
                self.layer("Pooling", name, inputs, [name],
                           [(0, 0), (1, a["kernel"]), (2, a["stride"]), (3, a["padding"]), (5, 1)])
            elif node.op == "mean":
                self.layer("Pooling", name, inputs, [name], [(0, 1), (4, 1)])
            elif node.op == "add":
                self.layer("BinaryOp", name, inputs, [name], [(0, 0)])
            elif node.op == "flatten":
                self.layer("Flatten", name, inputs, [name])
            else:
                raise ValueError(node.op)
            self.publish(name, name)
        with open(prefix + ".param", "w") as file:
            file.write(f"7767517\n{len(self.lines)} {self.blobs}\n" + "\n".join(self.lines) + "\n")
        with open(prefix + ".bin", "wb") as file:
            file.write(self.binary)


def write(net, folded, prefix, amax=None):
    Files(net, folded, amax).write(prefix)
    return prefix
