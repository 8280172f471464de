#!/usr/bin/env python3
"""Quantises a float network with ONNX Runtime's own tools, for Octet to run: the files of runtime/onnx/README.md.

    benchmarks/onnx_quantise.py build/bin/octet FLOAT.onnx PHOTOS OUT.onnx [--skip N] [--limit 100] [--stride 1]
                                [--form qdq|qoperator] [--activations u8|s8] [--weights s8|u8] [--per-tensor]

Min-max ranges of `limit` photos, prepared as Octet prepares them.
"""
import argparse
import tempfile
from pathlib import Path

import onnx_photos


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("octet", "model", "photos", "out"):
        parser.add_argument(name)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--stride", type=int, default=1, help="every so many photos")
    parser.add_argument("--form", choices=("qdq", "qoperator"), default="qdq")
    parser.add_argument("--activations", choices=("u8", "s8"), default="u8")
    parser.add_argument("--weights", choices=("s8", "u8"), default="s8")
    parser.add_argument("--per-tensor", action="store_true")
    return parser.parse_args()


def main():
    onnx_photos.ensure_environment()
    from onnxruntime import quantization as q

    o = arguments()
    how = onnx_photos.preprocessing(o.octet, o.model)
    paths = onnx_photos.photo_paths(o.photos, o.skip, o.limit, o.stride)

    class Photos(q.CalibrationDataReader):
        def __init__(self, name):
            self.name, self.left = name, iter(paths)

        def get_next(self):
            path = next(self.left, None)
            return path and {self.name: onnx_photos.prepare(onnx_photos.load(path, how), how)}

    types = {"u8": q.QuantType.QUInt8, "s8": q.QuantType.QInt8}
    with tempfile.TemporaryDirectory() as folder:
        folded = str(Path(folder, "folded.onnx"))
        q.shape_inference.quant_pre_process(o.model, folded, skip_symbolic_shape=True)
        import onnx

        name = onnx.load(folded).graph.input[0].name
        q.quantize_static(folded, o.out, Photos(name), per_channel=not o.per_tensor,
                          quant_format=q.QuantFormat.QDQ if o.form == "qdq" else q.QuantFormat.QOperator,
                          activation_type=types[o.activations], weight_type=types[o.weights])


main()
