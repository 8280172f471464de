"""One peer, kept warm in this process and timed when it is asked to: peer_worker.py ENGINE MODEL INPUTS BATCH THREADS
OUTPUTS INT8(0/1). Each engine is set up as its own documentation says is fastest for latency on a given number of
threads, and copies neither input nor output where its API allows it. contender.py describes the conversation.

An engine is a class: made from (model, batch, threads, int8), it has run(input) -> outputs and facts(), which tells
what the engine says it runs: checks.py refuses to time what is not what was asked for."""

import json
import sys
import time

import numpy as np

SHAPE = (3, 224, 224)


class OnnxRuntime:
    def __init__(self, model, batch, threads, int8):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        options.add_free_dimension_override_by_name("N", batch)
        self.model, self.options, self.ort = model, options, ort
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        self.output = None

    def run(self, image):
        if self.output is None:
            self.output = self.session.run(None, {"image": image})[0]
            self.binding.bind_output(self.session.get_outputs()[0].name, "cpu", 0, np.float32, self.output.shape,
                                     self.output.ctypes.data)
        self.binding.bind_input("image", "cpu", 0, np.float32, image.shape, image.ctypes.data)
        self.session.run_with_iobinding(self.binding)
        return self.output

    def facts(self):
        """The graph that it optimised the model to, by writing that graph once more (not in the timed session)."""
        import onnx
        path = sys.argv[6] + ".optimised.onnx"
        self.options.optimized_model_filepath = path
        self.ort.InferenceSession(self.model, self.options, providers=["CPUExecutionProvider"])
        counts = {}
        for node in onnx.load(path).graph.node:
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
        return {"version": self.ort.__version__, "threads": self.session.get_session_options().intra_op_num_threads,
                "providers": self.session.get_providers(), "operators": counts}


class OpenVINO:
    def __init__(self, model, batch, threads, int8):
        import openvino as ov
        self.ov = ov
        core = ov.Core()
        network = core.read_model(model)
        network.reshape([batch, *SHAPE])
        self.compiled = core.compile_model(network, "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads),
            "INFERENCE_PRECISION_HINT": "f32"})  # without it FP32 networks would run in bf16 on AMX machines
        self.request = self.compiled.create_infer_request()
        self.tensors = {}

    def run(self, image):
        tensor = self.tensors.get(image.ctypes.data)
        if tensor is None:  # shared memory: no copy is timed
            tensor = self.tensors[image.ctypes.data] = self.ov.Tensor(image, shared_memory=True)
        self.request.set_input_tensor(tensor)
        self.request.infer()
        return self.request.get_output_tensor().data

    def facts(self):
        layers = []
        for op in self.compiled.get_runtime_model().get_ops():
            info = op.get_rt_info()
            text = lambda key: str(info[key].astype(str)) if key in info else ""
            layers.append({"name": op.get_friendly_name(), "type": text("layerType"), "kernel": text("primitiveType"),
                           "precision": text("runtimePrecision"), "fused": text("originalLayersNames")})
        setting = lambda key: str(self.compiled.get_property(key))
        return {"version": self.ov.__version__.split("-")[0], "threads": int(setting("INFERENCE_NUM_THREADS")),
                "streams": int(setting("NUM_STREAMS")), "layers": layers}


class Ncnn:
    def __init__(self, model, batch, threads, int8):
        import ncnn
        self.ncnn, self.threads = ncnn, threads
        self.net = net = ncnn.Net()
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = False
        net.opt.use_int8_inference = int8
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = False
        if net.load_param(model + ".param") != 0 or net.load_model(model + ".bin") != 0:
            raise SystemExit(f"ncnn cannot load {model}")
        self.last = net.output_names()[0]

    def run(self, image):
        """ncnn has no batches: one image after the other, as its users do."""
        results = []
        for one in image:
            extractor = self.net.create_extractor()
            extractor.input("image", self.ncnn.Mat(one))
            status, result = extractor.extract(self.last)
            if status != 0:
                raise SystemExit(f"ncnn: extract returned {status}")
            results.append(np.array(result, copy=True).ravel())
        return np.stack(results)

    def facts(self):
        return {"version": self.ncnn.__version__, "threads": self.net.opt.num_threads,
                "int8": self.net.opt.use_int8_inference, "avx2": bool(self.ncnn.cpu_support_x86_avx2())}


ENGINES = {"onnxruntime": OnnxRuntime, "openvino": OpenVINO, "ncnn": Ncnn}


def main():
    name, model, inputs, batch, threads, outputs, int8 = sys.argv[1:8]
    batch, threads = int(batch), int(threads)
    engine = ENGINES[name](model, batch, threads, int8 == "1")
    batches = np.fromfile(inputs, np.float32).reshape(-1, batch, *SHAPE)
    engine.run(batches[0])
    print("first", flush=True)
    position, clock = 0, time.perf_counter_ns
    for line in sys.stdin:
        if line == "facts\n":
            print(json.dumps(engine.facts()), flush=True)
            continue
        if line == "outputs\n":
            results = [np.array(engine.run(b), np.float32).reshape(batch, -1) for b in batches]
            np.concatenate(results).tofile(outputs)
            print("written", flush=True)
            continue
        times = []
        for _ in range(int(line)):
            image = batches[position]
            position = (position + 1) % len(batches)
            before = clock()
            engine.run(image)
            times.append((clock() - before) / 1e6)
        print(" ".join(f"{t:.5f}" for t in times), flush=True)


main()
