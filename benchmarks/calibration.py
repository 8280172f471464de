#!/usr/bin/env python3
"""Accuracy of INT8 by scheme, granularity and calibration method, as tables in Markdown (benchmarks/calibration.md).

    benchmarks/calibration.py build/bin/octet DATA results.json [--networks NAME,...] [--threads N] >tables.md

DATA holds weights/*.onnx, imagenet500/ with labels.csv, cifar10/CLASS/ and catdog/calibration, catdog/test. Photos that
calibrate are never scored: the first 100 of imagenet500 calibrate and the other 400 score; of cifar10 the first ten of
each class calibrate and the other 900 photos score. results.json keeps every count as soon as it is known, so a run that
was interrupted goes on; the tables are made of it. Needs nothing but Python and octet.
"""
import argparse, json, os, subprocess, sys, tempfile
from pathlib import Path

RULES = ["max", "entropy", "mse", "percentile"]
SCHEMES = ["symmetric", "affine"]
GRANULARITIES = ["channel", "tensor"]
EXTRAS = {"equalize": ["--equalize"], "bias-correct": ["--bias-correct"], "both": ["--equalize", "--bias-correct"]}


def split_cifar(data, folder):
    """Links to the photos: the first ten of each class calibrate, the others score."""
    for cls in sorted(p for p in (data / "cifar10").iterdir() if p.is_dir()):
        for i, photo in enumerate(sorted(cls.iterdir())):
            link = folder / ("calibration" if i < 10 else "test") / cls.name / photo.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(photo.resolve())
    return folder


def networks(data, folder):
    """name -> (MODEL, flags of octet calibrate, flags of octet evaluate)"""
    weights = data / "weights"
    photos = ["--data", str(data / "imagenet500")]
    score = photos + ["--labels", str(data / "imagenet500" / "labels.csv"), "--skip", "100"]
    imagenet = (photos + ["--limit", "100"], score)
    cifar = ["--data", str(split_cifar(data, folder))]
    catdog = ["--data", str(data / "catdog")]
    return {
        "EfficientNet-Lite0": (str(weights / "efficientnet_lite0.onnx"), *imagenet),
        "MobileNetV2": (str(weights / "mobilenet_v2_fp32_from_ptq.onnx"), *imagenet),
        "cat/dog": ("catdog", catdog, catdog),
        "ResNet20": (str(weights / "resnet20-12fca82f.onnx"), cifar, cifar),
        "ResNet56": (str(weights / "resnet56-4bfd9763.onnx"), cifar, cifar),
    }


def calibrations():
    """name -> (flags of octet calibrate, granularities to score with)"""
    rows = {}
    for scheme in SCHEMES:
        for rule in RULES:
            flags = ["--scheme", scheme, "--method", rule]
            rows[f"{scheme} {rule}"] = (flags, GRANULARITIES)
            if scheme == "symmetric":
                rows[f"{scheme} {rule} both"] = (flags + EXTRAS["both"], ["tensor"])
    for extra in ["equalize", "bias-correct"]:
        rows[f"symmetric mse {extra}"] = (["--method", "mse"] + EXTRAS[extra], ["tensor"])
    for preset in ["simple", "x86"]:
        rows[f"preset {preset}"] = (["--preset", preset], [None])
    return rows


class Bench:
    def __init__(self, octet, results, threads):
        self.octet, self.path, self.threads = octet, Path(results), threads
        self.results = json.loads(self.path.read_text()) if self.path.exists() else {}

    def octet_json(self, *arguments):
        command = [self.octet, *arguments, "--json", "--quiet", "--threads", str(self.threads)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        return json.loads(done.stdout)

    def score(self, key, *arguments):
        if key in self.results:
            return
        e = self.octet_json("evaluate", *arguments)
        assert not e["on_calibration_data"]
        self.results[key] = {k: e[k] for k in ("correct", "count", "model_bytes")}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.results, indent=1))
        os.replace(partial, self.path)
        print(f"{key}: {e['correct']}/{e['count']}", file=sys.stderr, flush=True)

    def network(self, name, model, calibrate, evaluate, ranges):
        self.score(f"{name} | fp32", model, *evaluate, "--precision", "fp32")
        for row, (flags, granularities) in calibrations().items():
            keys = {g: f"{name} | {row} | {g}" if g else f"{name} | {row}" for g in granularities}
            if all(key in self.results for key in keys.values()):
                continue
            self.octet_json("calibrate", model, *calibrate, *flags, "--out", ranges)
            for granularity, key in keys.items():
                weights = ["--weights-granularity", granularity] if granularity else []
                self.score(key, model, *evaluate, "--ranges", ranges, *weights)


def tables(results, names):
    def cell(key):
        r = results.get(key)
        return f"{r['correct']} ({100 * r['correct'] / r['count']:.2f})" if r else "-"

    def size(key):
        return f"{results[key]['model_bytes'] / 1e6:.2f} MB" if key in results else "-"

    for name in names:
        if f"{name} | fp32" not in results:
            continue
        count = results[f"{name} | fp32"]["count"]
        print(f"### {name}: right of {count} photos (per cent); FP32 {cell(f'{name} | fp32')}\n")
        print("| activations | weights per | " + " | ".join(RULES) + " |")
        print("| --- | --- |" + " --- |" * len(RULES))
        for scheme in SCHEMES:
            for suffix, granularity, label in [("", "channel", "channel"), ("", "tensor", "tensor"),
                                               (" both", "tensor", "tensor, `--equalize --bias-correct`")]:
                if f"{name} | {scheme} max{suffix} | {granularity}" not in results:
                    continue
                cells = [cell(f"{name} | {scheme} {rule}{suffix} | {granularity}") for rule in RULES]
                print(f"| {scheme} | {label} | " + " | ".join(cells) + " |")
        simple, x86 = f"{name} | preset simple", f"{name} | preset x86"
        print(f"\n`--preset simple` {cell(simple)}, `--preset x86` {cell(x86)}; symmetric, mse, per tensor, with ", end="")
        print(f"`--equalize` alone {cell(f'{name} | symmetric mse equalize | tensor')}, with `--bias-correct` alone ", end="")
        print(f"{cell(f'{name} | symmetric mse bias-correct | tensor')}. Files: FP32 {size(f'{name} | fp32')}, INT8 per ", end="")
        print(f"channel {size(f'{name} | symmetric max | channel')}, per tensor {size(f'{name} | symmetric max | tensor')}.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("octet")
    parser.add_argument("data", type=Path)
    parser.add_argument("results")
    parser.add_argument("--networks", help="some of them, joined by commas")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    bench = Bench(args.octet, args.results, args.threads)
    with tempfile.TemporaryDirectory() as folder:
        known = networks(args.data, Path(folder))
        names = args.networks.split(",") if args.networks else list(known)
        for name in names:
            bench.network(name, *known[name], str(Path(folder) / "ranges.json"))
    tables(bench.results, names)


if __name__ == "__main__":
    main()
