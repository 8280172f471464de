"""Layer by layer: Octet beside OpenVINO on one network in INT8, batch 1, one thread. Where the table of run.sh shows
that Octet loses, this shows in which layers.
    build/peers/venv/bin/python benchmarks/peers/layers.py resnet50 [--isa avx2]

Both time their own steps, so each layer includes a clock's overhead, and what one of them fuses into a neighbour (a
pool, an add, a quantiser) appears there. Octet starts from photo bytes here. Needs the files that run.sh prepared."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

RUNS = 60


def octet_layers(build, model, isa):
    command = [build / "bin/octet", "bench", model, "--threads", "1", "--per-layer", "--json", "--quiet"]
    environment = {**os.environ, **({"OCTET_ISA": isa} if isa else {})}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return [(layer["name"], layer["variant"], layer["ms"]) for layer in json.loads(result.stdout)["layers"]]


def openvino_layers(model, inputs):
    """[(name, kernel, median ms)]; runs in a process whose environment may hold ONEDNN_MAX_CPU_ISA."""
    import openvino as ov
    core = ov.Core()
    network = core.read_model(model)
    network.reshape([1, 3, 224, 224])
    compiled = core.compile_model(network, "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "1", "PERF_COUNT": "YES",
        "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    times, kernels = {}, {}
    for image in [inputs[i % len(inputs)][None] for i in range(RUNS)]:
        request.infer([image])
        for info in request.get_profiling_info():
            if str(info.status).endswith("EXECUTED"):
                times.setdefault(info.node_name, []).append(info.real_time.total_seconds() * 1e3)
                kernels[info.node_name] = info.exec_type
    return [(name, kernels[name], float(np.median(t))) for name, t in times.items() if np.median(t) > 0]


def plain(name):
    """OpenVINO's name of a node -> the state dict's name of the layer."""
    return name.split("/")[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--isa", choices=["avx512vnni", "avx2"], help="hold both to this level")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--openvino", action="store_true", help=argparse.SUPPRESS)  # the process that is held
    options = parser.parse_args()
    folder = options.build / "peers" / options.network
    model = folder / ("u8s7.onnx" if options.isa == "avx2" else "u8s8.onnx")
    if not model.exists():
        raise SystemExit(f"{model} is not there: benchmarks/peers/run.sh --networks {options.network} --only prepare")
    if options.openvino:
        inputs = np.fromfile(folder / "inputs.bin", np.float32).reshape(-1, 3, 224, 224)
        print(json.dumps(openvino_layers(model, inputs)))
        return
    caps = {"avx512vnni": "AVX512_CORE_VNNI", "avx2": "AVX2"}
    environment = {**os.environ, **({"ONEDNN_MAX_CPU_ISA": caps[options.isa]} if options.isa else {})}
    held = subprocess.run([sys.executable, *sys.argv, "--openvino"], stdout=subprocess.PIPE, text=True, check=True,
                          env=environment)
    peer = json.loads(held.stdout)
    show(octet_layers(options.build, folder / "int8.octet", options.isa), peer)


def show(octet, peer):
    by_layer = {}
    for name, kernel, ms in peer:
        total, kernels = by_layer.get(plain(name), (0, []))
        by_layer[plain(name)] = (total + ms, kernels + [kernel])
    print(f"{'layer':28} {'Octet':>9} {'OpenVINO':>9}  ratio  kernels")
    for name, kernel, ms in octet:
        ms_peer, kernels = by_layer.pop(name, (0, []))
        ratio = f"{ms / ms_peer:5.2f}" if ms_peer else "     "
        print(f"{name:28} {ms:9.4f} {ms_peer:9.4f}  {ratio}  {kernel}; {', '.join(kernels)}")
    for name, (ms, kernels) in by_layer.items():
        print(f"{name:28} {'':9} {ms:9.4f}         {', '.join(kernels)}")
    print(f"{'sum':28} {sum(ms for *_, ms in octet):9.4f} {sum(ms for *_, ms in peer):9.4f}")


main()
