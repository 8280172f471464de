#!/usr/bin/env python3
"""ONNX Runtime's own min-max quantisation on the photos of calibration.md: how many it gets right.

    benchmarks/ort_minmax.py build/bin/octet DATA

DATA as in calibration.py; the same photos calibrate and score. EfficientNet-Lite0 is DATA/weights' file, cat/dog what
`octet export catdog --precision fp32` writes. u8 activations, s8 weights, per tensor and per channel. Needs
onnxruntime, onnx and Pillow; on two cores it takes a minute.
"""
import csv, subprocess, sys, tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from PIL import Image


def imagenet(path):
    image = np.asarray(Image.open(path).convert("RGB"), np.float32)[16:240, 16:240]
    return ((image - 127) / 128).transpose(2, 0, 1)[None]


def catdog(path):
    image = Image.open(path).convert("RGB").resize((224, 224), Image.BICUBIC)
    return np.asarray(image, np.float32).transpose(2, 0, 1)[None]


class Photos(CalibrationDataReader):
    def __init__(self, name, photos, load):
        self.rest = ({name: load(p)} for p in photos)

    def get_next(self):
        return next(self.rest, None)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def right(path, photos, labels, load):
    network = session(path)
    name = network.get_inputs()[0].name
    return sum(int(network.run(None, {name: load(p)})[0].argmax()) == label for p, label in zip(photos, labels))


def measure(title, model, calibration, photos, labels, load, folder):
    counts = {"FP32": right(model, photos, labels, load)}
    for per_channel in [False, True]:
        quantised = folder / f"{title.replace('/', '')}{per_channel}.onnx"
        reader = Photos(session(model).get_inputs()[0].name, calibration, load)
        quantize_static(model, quantised, reader, quant_format=QuantFormat.QDQ, per_channel=per_channel,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                        calibrate_method=CalibrationMethod.MinMax)
        counts["per channel" if per_channel else "per tensor"] = right(quantised, photos, labels, load)
    print(f"{title}: " + ", ".join(f"{name} {n} of {len(photos)}" for name, n in counts.items()), flush=True)


def main():
    octet, data = sys.argv[1], Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = {row[0]: int(row[1]) for row in list(csv.reader(open(data / "imagenet500/labels.csv")))[1:]}
        photos = sorted((data / "imagenet500").glob("*.jpg"))
        measure("EfficientNet-Lite0", data / "weights/efficientnet_lite0.onnx", photos[:100], photos[100:],
                [labels[p.name] for p in photos[100:]], imagenet, folder)
        model = folder / "catdog.onnx"
        subprocess.run([octet, "export", "catdog", "--precision", "fp32", "--out", model, "--quiet"], check=True,
                       stdout=subprocess.DEVNULL)
        test = sorted((data / "catdog/test").glob("*/*"))
        measure("cat/dog", model, sorted((data / "catdog/calibration").glob("*/*")), test,
                [0 if p.parent.name == "cat" else 1 for p in test], catdog, folder)
    print(f"ONNX Runtime {onnxruntime.__version__}")


if __name__ == "__main__":
    main()
