"""What must hold before a contender is timed: it computes the same function, on the threads, in the precision and with
the instruction set that the table's row says. A violation raises Refused, and the run fails."""

import numpy as np

# OpenVINO names its kernels; a kernel for AMX holds "amx", one for AVX512 "avx512", one for AVX2 "avx2".
OPENVINO_CAPS = {"amx": None, "avx512vnni": "AVX512_CORE_VNNI", "avx2": "AVX2"}
OPENVINO_FORBIDDEN = {"amx": [], "avx512vnni": ["amx"], "avx2": ["amx", "avx512"]}
CLOSE_STEPS = 2  # of the output's scale, max |output| / 127
NEARLY_ALL = 0.99
FLOAT_STEPS = 0.25  # FP32: a quarter of such a step; rounding and Winograd's transforms reach 0.06
NOISE_RATIO = 2.0  # INT8: RMS distance from FP32, over that of ONNX Runtime with the same steps


class Refused(Exception):
    pass


def require(condition, text):
    if not condition:
        raise Refused(text)


def distance(a, b):
    return float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2)))


def outputs(label, precision, reference, same_sums, values, expected, real_weights):
    """reference: which array of `expected` has the same steps; same_sums: and rounds at the same places, so that it
    must be equal but for a rare step. Returns a line for the report."""
    exact = expected["float"]
    step = float(np.abs(exact).max()) / 127
    require(values.shape == exact.shape, f"{label}: outputs {values.shape}, {exact.shape} expected")
    require(np.isfinite(values).all(), f"{label}: outputs that are not finite")
    if precision == "fp32":
        worst = float(np.abs(values - exact).max()) / step
        require(worst <= FLOAT_STEPS, f"{label}: FP32 outputs {worst:.3f} INT8 steps off")
        return f"within {worst:.4f} steps"
    noise = distance(values, exact) / distance(expected[reference], exact)
    require(noise <= NOISE_RATIO, f"{label}: {noise:.2f} times the rounding noise of INT8")
    text = f"noise {noise:.2f}x"
    if same_sums:
        close = float(np.mean(np.abs(values - expected[reference]) <= CLOSE_STEPS * step))
        require(close >= NEARLY_ALL, f"{label}: only {100 * close:.2f} % of the outputs within {CLOSE_STEPS} steps of "
                                     "the same integers in ONNX Runtime")
        text += f", {100 * close:.2f} % within {CLOSE_STEPS} steps"
    if real_weights:
        top = np.sort(exact, axis=1)
        clear = top[:, -1] - top[:, -2] > 2 * np.abs(expected[reference] - exact).max(axis=1)  # rounding cannot turn it
        same = values.argmax(axis=1)[clear] == exact.argmax(axis=1)[clear]
        require(same.all(), f"{label}: another top-1 on {int((~same).sum())} of {int(clear.sum())} clear inputs")
        text += f", top-1 equal on {int(clear.sum())}/{len(clear)} clear"
    return text


def onnxruntime(facts, precision, isa, net_convs):
    require(facts["providers"] == ["CPUExecutionProvider"], f"ONNX Runtime: providers {facts['providers']}")
    operators = facts["operators"]
    if precision == "int8":
        convs = operators.get("QLinearConv", 0)
        require(convs == net_convs, f"ONNX Runtime: {convs} of {net_convs} convolutions in INT8: {operators}")
        fallback = [op for op in ("Conv", "FusedConv", "Gemm", "MatMul") if op in operators]
        require(not fallback, f"ONNX Runtime: falls back to {fallback}")
    else:
        convs = sum(operators.get(op, 0) for op in ("Conv", "FusedConv"))
        require(convs == net_convs, f"ONNX Runtime: {convs} of {net_convs} FP32 convolutions: {operators}")


def openvino(facts, precision, isa, net_convs):
    require(facts["streams"] == 1, f"OpenVINO: {facts['streams']} streams")
    convs = [layer for layer in facts["layers"] if layer["type"] == "Convolution"]
    count = sum(len([n for n in layer["fused"].split(",") if n.endswith("/WithoutBiases")]) for layer in convs)
    require(len(convs) == net_convs or count == net_convs, f"OpenVINO: {len(convs)} of {net_convs} convolutions")
    wanted = {"int8": ("i8", "u8"), "fp32": ("f32",)}[precision]
    for layer in facts["layers"]:
        if layer["type"] not in ("Convolution", "FullyConnected"):
            continue
        kernel, name = layer["kernel"], layer["name"]
        require(layer["precision"] in wanted, f"OpenVINO: {name} runs in {layer['precision']}")
        require("ref" not in kernel, f"OpenVINO: {name} falls back to {kernel}")
        for word in OPENVINO_FORBIDDEN[isa]:
            require(word not in kernel, f"OpenVINO: {name} runs {kernel} though capped at {isa}")
        if isa == "amx" and precision == "int8" and layer["type"] == "Convolution" and "_dw" not in kernel:
            require("amx" in kernel, f"OpenVINO: {name} runs {kernel} on a machine with AMX")


def ncnn(facts, precision, isa, net_convs):
    require(facts["int8"] == (precision == "int8"), "ncnn: another precision")


def octet(facts, precision, isa, net_convs):
    require(facts["isa"] == isa, f"Octet planned for {facts['isa']}, {isa} was asked for")
    convs = [layer for layer in facts["layers"] if layer["kernel"].startswith(("conv2d", "depthwise"))]
    require(len(convs) == net_convs, f"Octet: {len(convs)} of {net_convs} convolutions")
    for layer in convs:
        require(layer["precision"] == precision, f"Octet: {layer['name']} runs in {layer['precision']}")


FACTS = {"onnxruntime": onnxruntime, "openvino": openvino, "ncnn": ncnn, "octet": octet}


def facts(engine, values, precision, threads, isa, net_convs):
    require(int(values["threads"]) == threads, f"{engine}: set to {values['threads']} threads, {threads} asked for")
    FACTS[engine](values, precision, isa, net_convs)


def threads(label, bursts, wanted):
    """bursts: functions that run inferences and count the threads that did the work. On a busy machine a thread may not
    get a processor in time, so one burst in five with the right number is enough; one with more is not."""
    seen = []
    for burst in bursts:
        seen.append(burst())
        require(seen[-1] <= wanted, f"{label}: {seen[-1]} threads did the work, {wanted} were asked for")
        if seen[-1] == wanted:
            return
    raise Refused(f"{label}: {max(seen)} threads did the work, {wanted} were asked for")
