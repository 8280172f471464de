"""The ONNX files that ONNX Runtime and OpenVINO run: FP32, and INT8 with QuantizeLinear / DequantizeLinear pairs."""

import logging

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from networks import Node

OPSET = 17


class Writer:
    def __init__(self, net):
        self.net, self.nodes, self.initializers, self.outputs = net, [], [], []

    def constant(self, name, value):
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(self, node, inputs, output):
        a = node.attributes
        self.node("Conv", inputs, output, kernel_shape=[a["kernel"]] * 2, strides=[a["stride"]] * 2, group=a["groups"],
                  pads=[a["before"]] * 2 + [a["behind"]] * 2)

    def plain(self, node):
        """Nodes without weights."""
        a, inputs, name = node.attributes, node.inputs, node.name
        if node.op == "relu":
            self.node("Relu", inputs, name)
        elif node.op == "relu6":
            self.node("Clip", inputs + ["zero", "six"], name)
        elif node.op == "max_pool":
            self.node("MaxPool", inputs, name, kernel_shape=[a["kernel"]] * 2, strides=[a["stride"]] * 2,
                      pads=[a["padding"]] * 4)
        elif node.op == "add":
            self.node("Add", inputs, name)
        elif node.op == "mean":
            self.node("GlobalAveragePool", inputs, name)
        elif node.op == "flatten":
            self.node("Flatten", inputs, name)
        else:
            raise ValueError(node.op)

    def model(self, outputs):
        if any(node.op == "relu6" for node in self.net.nodes):
            self.constant("zero", np.float32(0))
            self.constant("six", np.float32(6))
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *self.net.shapes["image"]])
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs]
        graph = helper.make_graph(self.nodes, self.net.name, [image], values, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="benchmark")
        model.ir_version = 10
        onnx.checker.check_model(model)
        return model


def write_float(net, folded, path, all_tensors=False):
    """Batch-norm is folded already. `all_tensors`: every tensor is an output, for calibration."""
    writer = Writer(net)
    for node in net.nodes:
        if node.op in ("conv", "linear"):
            weight, bias = folded[node.name]
            inputs = node.inputs + [writer.constant(node.name + ".weight", weight),
                                    writer.constant(node.name + ".bias", bias)]
            if node.op == "conv":
                writer.conv(node, inputs, node.name)
            else:
                writer.node("Gemm", inputs, node.name, transB=1)
        else:
            writer.plain(node)
    names = [node.name for node in net.nodes] if all_tensors else [net.output]
    model = writer.model([(name, ["N", *net.shapes[name]]) for name in names])
    onnx.save(model, path)
    return path


def write_same_steps(net, folded, amax, path):
    """INT8 as Octet computes it (calib/QUANTIZATION.md): symmetric steps max |x| / 127 on the edges behind convolutions
    with their activation, sums, means and inner linear layers; pools and flatten pass integers on. Made to be compared
    with, not to be fast: session(path, plain=True) computes the dequantised values in float32, where these sums are
    exact up to 2^24 and rounded relatively beyond."""
    writer = Writer(net)
    users = {}
    for node in net.nodes:
        for tensor in node.inputs:
            users.setdefault(tensor, []).append(node.op)
    step = {name: np.float32(value / 127) for name, value in amax.items()}
    writer.constant("zero_point", np.int8(0))

    def quantised(tensor, source):
        writer.constant(tensor + ".step", step[tensor])
        writer.node("QuantizeLinear", [source, tensor + ".step", "zero_point"], tensor + ".q")
        writer.node("DequantizeLinear", [tensor + ".q", tensor + ".step", "zero_point"], tensor + ".dq")
        return tensor + ".dq"

    values = {"image": quantised("image", "image")}
    for node in net.nodes:
        inputs = [values[x] for x in node.inputs]
        if node.op in ("conv", "linear"):
            step_in = step[source_edge(net, node.inputs[0])]
            inputs += integer_weights(writer, node.name, *folded[node.name], step_in)
            if node.op == "conv":
                writer.conv(node, inputs, node.name)
            else:
                writer.node("Gemm", inputs, node.name, transB=1)
        else:
            writer.plain(Node(node.op, node.name, inputs, node.attributes))
        activated = users.get(node.name) in (["relu"], ["relu6"])
        passes_on = node.op in ("max_pool", "flatten") or activated or node.name == net.output
        values[node.name] = node.name if passes_on else quantised(node.name, node.name)
    onnx.save(writer.model([(net.output, ["N", *net.shapes[net.output]])]), path)


def source_edge(net, tensor):
    """The quantised edge whose integers `tensor` holds."""
    by_name = {node.name: node for node in net.nodes}
    while tensor in by_name and by_name[tensor].op in ("max_pool", "flatten"):
        tensor = by_name[tensor].inputs[0]
    return tensor


def integer_weights(writer, name, weight, bias, step_in):
    """Weights and bias as integers with one step per output channel, widened where the bias would not fit (rule 3)."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    step = np.maximum(np.abs(rows).max(axis=1) / 127, np.abs(bias) / (float(step_in) * 2**29)).astype(np.float32)
    step[step == 0] = 1
    q = np.clip(np.rint(weight / step.reshape((-1,) + (1,) * (weight.ndim - 1))), -127, 127).astype(np.int8)
    unit = step_in * step
    bias_q = np.rint(bias / (float(step_in) * step.astype(np.float64))).astype(np.int32)
    for key, value, scale in (("weight", q, step), ("bias", bias_q, unit)):
        writer.constant(f"{name}.{key}.q", value)
        writer.constant(f"{name}.{key}.step", scale)
        writer.node("DequantizeLinear", [f"{name}.{key}.q", f"{name}.{key}.step"], f"{name}.{key}", axis=0)
    return [f"{name}.weight", f"{name}.bias"]


def statistics(batch):
    """For seeded_weights(): a function (net, state) -> {norm: (mean, variance)} of each convolution's output on
    `batch`, where every convolution before has been normalised by its own."""

    def run(net, state):
        writer, outputs = Writer(net), []
        writer.constant("epsilon", np.float32(1e-5))
        for node in net.nodes:
            if node.op == "linear":
                break
            if node.op == "conv":
                normalised_conv(writer, node, state, outputs)
            else:
                writer.plain(node)
        model = writer.model([(name, [1, "C", 1, 1]) for name in outputs])
        values = dict(zip(outputs, session(model).run(outputs, {"image": batch})))
        norms = [node.attributes["norm"] for node in net.nodes if node.op == "conv"]
        return {norm: (values[norm + ".mean"].ravel(), values[norm + ".variance"].ravel()) for norm in norms}

    return run


def normalised_conv(writer, node, state, outputs):
    norm, name = node.attributes["norm"], node.name
    axes = [0, 2, 3]
    writer.conv(node, node.inputs + [writer.constant(name + ".weight", state[name + ".weight"])], name + ".raw")
    writer.node("ReduceMean", [name + ".raw"], norm + ".mean", axes=axes)
    writer.node("Sub", [name + ".raw", norm + ".mean"], norm + ".centred")
    writer.node("Mul", [norm + ".centred", norm + ".centred"], norm + ".square")
    writer.node("ReduceMean", [norm + ".square"], norm + ".variance", axes=axes)
    writer.node("Add", [norm + ".variance", "epsilon"], norm + ".positive")
    writer.node("Sqrt", [norm + ".positive"], norm + ".deviation")
    writer.node("Div", [norm + ".centred", norm + ".deviation"], norm + ".unit")
    shape = (1, -1, 1, 1)
    writer.node("Mul", [norm + ".unit", writer.constant(norm + ".gain", state[norm + ".weight"].reshape(shape))],
                norm + ".scaled")
    writer.node("Add", [norm + ".scaled", writer.constant(norm + ".shift", state[norm + ".bias"].reshape(shape))], name)
    outputs += [norm + ".mean", norm + ".variance"]


def session(model, plain=False):
    """plain: nothing is fused or replaced."""
    options = ort.SessionOptions()
    if plain:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    source = model if isinstance(model, str) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def largest_values(net, folded, batch, scratch):
    """{tensor: max |x|} over `batch`."""
    runner = session(write_float(net, folded, scratch, all_tensors=True))
    names = [o.name for o in runner.get_outputs()]
    amax = {"image": float(np.abs(batch).max())}
    for image in batch:
        for name, value in zip(names, runner.run(names, {"image": image[None]})):
            amax[name] = max(amax.get(name, 0.0), float(np.abs(value).max()))
    return amax


class Reader(CalibrationDataReader):
    def __init__(self, batch):
        self.images = iter(batch)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"image": image[None]}


def quantise(float_path, path, batch, seven_bits=False):
    """INT8 by ONNX Runtime's own tool, in the form that both peers run fastest: activations u8 with zero points,
    weights s8 per output channel, ranges min-max over `batch`. seven_bits: weights within [-64, 64], what OpenVINO
    needs where there is no VNNI: its sums of two products saturate at 16 bits there, and full weights give wrong
    results."""
    logging.getLogger().setLevel(logging.ERROR)
    prepared = path + ".prepared"
    quant_pre_process(float_path, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared, path, Reader(batch), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=seven_bits,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"WeightSymmetric": True})
    return path
