"""Octet beside ONNX Runtime, OpenVINO and ncnn: same weights, same float inputs, one process each, kept warm, timed in
interleaved rounds of random order. run.sh makes the environment and calls this; README.md tells about the table."""

import argparse
import datetime
import functools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import checks
import networks
import prepare
import report
from contender import Contender

HERE = Path(__file__).resolve().parent
SLICE_MS = 40  # of each contender in a round
PAUSE = 0.02  # seconds between contenders: a peer's idle threads spin for a while after its work
THREAD_CHECK_MS = 300
START_REPEATS = 5


def best_isa():
    sets = prepare.machine()["instruction_sets"]
    for flag, isa in (("amx_int8", "amx"), ("avx512_vnni", "avx512vnni")):
        if flag in sets:
            return isa
    return "avx2"


class Case:
    """One row: a network in a precision, on a number of threads, with a batch, at an instruction-set level."""

    def __init__(self, network, precision, threads, batch, isa, folder, weights, build):
        self.network, self.precision, self.threads, self.batch, self.isa = network, precision, threads, batch, isa
        self.folder, self.weights, self.build = folder, weights, build
        self.native = isa == best_isa()
        net = networks.NETWORKS[network]()
        self.convs = sum(node.op == "conv" for node in net.nodes)

    @property
    def key(self):
        return f"{self.network}/{self.precision}/{self.isa}/{self.threads}t/b{self.batch}"

    def engines(self):
        """Only OpenVINO can be held to an older instruction set."""
        return ["octet", "openvino"] + (["onnxruntime", "ncnn"] if self.native else [])

    def onnx_int8(self):
        return "u8s7" if self.isa == "avx2" else "u8s8"

    def octet_command(self, inputs, outputs, extra=()):
        model = [self.folder / "int8.octet"] if self.precision == "int8" else [self.network]
        rest = [] if self.precision == "int8" else ["--weights", self.weights, "--fp32"]
        worker = self.build / "bin/octet_worker"
        return [str(x) for x in [worker, *model, inputs, self.batch, self.threads, outputs, *rest, *extra]]

    def start(self, engine, inputs="inputs.bin"):
        outputs = str(self.folder / f"outputs.{engine}.bin")
        if engine.startswith("octet"):
            extra = ["--bytes"] if engine == "octet from bytes" else []
            command = self.octet_command(self.folder / ("bytes.bin" if extra else inputs), outputs, extra)
            return Contender(engine, command, outputs, {} if self.native else {"OCTET_ISA": self.isa})
        int8 = self.precision == "int8"
        if engine == "ncnn":
            model = "int8" if int8 else "float"
        else:
            model = (self.onnx_int8() if int8 else "float") + ".onnx"
        command = [sys.executable, HERE / "peer_worker.py", engine, self.folder / model, self.folder / inputs,
                   self.batch, self.threads, outputs, int(int8)]
        cap = checks.OPENVINO_CAPS[self.isa]
        environment = {"ONEDNN_MAX_CPU_ISA": cap} if engine == "openvino" and cap else {}
        return Contender(engine, [str(x) for x in command], outputs, environment)

    def check(self, contender, expected):
        """Everything that has to hold before the clock counts. Returns what the report says about the outputs."""
        engine = contender.label.split()[0]
        contender.write_outputs()
        values = np.fromfile(contender.outputs, np.float32).reshape(len(expected["float"]), -1)
        reference = "s8s8" if engine in ("octet", "ncnn") else self.onnx_int8()
        agreement = checks.outputs(contender.label, self.precision, reference, engine in ("octet", "onnxruntime"),
                                   values, expected, self.network in ("catdog", "efficientnet_lite0"))
        checks.facts(engine, contender.facts(), self.precision, self.threads, self.isa, self.convs)
        typical = statistics.median(contender.run(5))
        burst = functools.partial(contender.busy_threads, max(5, int(THREAD_CHECK_MS / typical)))
        checks.threads(contender.label, [burst] * 5, self.threads)
        return agreement


def measure(case, expected, rounds, shuffle):
    """{engine: {"ms": median, "p10", "p90", "rounds": medians of the rounds}} and the agreement of each engine."""
    engines = case.engines()
    if case.precision == "int8":
        engines = engines + ["octet from bytes"]
    contenders = {}
    try:
        agreement = {}
        for engine in engines:
            contenders[engine] = case.start(engine)
            agreement[engine] = case.check(contenders[engine], expected)
        counts = {e: max(1, int(SLICE_MS / statistics.median(c.run(5)))) for e, c in contenders.items()}
        samples = {engine: [] for engine in engines}
        for _ in range(rounds):
            for engine in shuffle.sample(engines, len(engines)):
                time.sleep(PAUSE)
                samples[engine].append(contenders[engine].run(counts[engine]))
    finally:
        for contender in contenders.values():
            contender.close()
    return {engine: summary(parts) | {"agreement": agreement[engine]} for engine, parts in samples.items()}


def summary(parts):
    everything = [t for part in parts for t in part]
    p10, p90 = np.percentile(everything, [10, 90])
    return {"ms": statistics.median(everything), "p10": float(p10), "p90": float(p90), "samples": len(everything),
            "rounds": [statistics.median(part) for part in parts]}


def ratios(times):
    """Octet over the fastest peer within each round: the median of the rounds and their spread."""
    peers = [e for e in times if not e.startswith("octet")]
    best = min(peers, key=lambda e: times[e]["ms"])
    each = [a / b for a, b in zip(times["octet"]["rounds"], times[best]["rounds"])]
    p10, p90 = np.percentile(each, [10, 90])
    return {"best_peer": best, "ratio": statistics.median(each), "p10": float(p10), "p90": float(p90)}


def limit_ms(case):
    """How long all layers would take at the limits of this machine, as octet bench --per-layer has it: for each the
    longer of its sums at the instruction set's peak and its bytes at the bandwidth of where they lie."""
    model = [case.folder / "int8.octet"] if case.precision == "int8" else [case.network, "--weights", case.weights,
                                                                          "--precision", "fp32"]
    command = [case.build / "bin/octet", "bench", *model, "--batch", case.batch, "--threads", case.threads, "--runs",
               10, "--per-layer", "--json", "--quiet"]
    environment = {**os.environ, **({} if case.native else {"OCTET_ISA": case.isa})}
    result = subprocess.run([str(x) for x in command], capture_output=True, text=True, check=True, env=environment)
    return sum(layer["roof_ms"] for layer in json.loads(result.stdout)["layers"])


def footprint(case):
    """Start to first result and peak memory, each engine alone on one photo. A peer's include Python and NumPy, so
    those two alone are measured as well."""
    result = {}
    for engine in case.engines():
        starts, peaks = [], []
        for _ in range(START_REPEATS):
            with case.start(engine, "one.bin") as contender:
                contender.run(10)
                starts.append(contender.start_ms)
                peaks.append(contender.peak_bytes())
        result[engine] = {"start_ms": statistics.median(starts), "peak_bytes": int(statistics.median(peaks))}
    result["python"] = {}
    starts, peaks = [], []
    for _ in range(START_REPEATS):
        code = "import sys, json, time, numpy; print('first', flush=True); sys.stdin.read()"
        with Contender("python", [sys.executable, "-c", code], str(case.folder / "outputs.python")) as contender:
            starts.append(contender.start_ms)
            peaks.append(contender.peak_bytes())
    return result | {"python": {"start_ms": statistics.median(starts), "peak_bytes": int(statistics.median(peaks))}}


def first_label(build, photo):
    """`octet run catdog PHOTO` as a user types it: from starting the process to its end, decoding included."""
    command = [build / "bin/octet", "run", "catdog", photo, "--json", "--quiet"]
    times = []
    for _ in range(4 * START_REPEATS):
        before = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(1e3 * (time.perf_counter() - before))
    return statistics.median(times)


def busy_neighbour(case):
    """Latencies on two threads and two processors, alone and while something spins on one of the two."""
    processors = sorted(os.sched_getaffinity(0))[:2]
    result = {}
    for engine in case.engines():
        with case.start(engine) as contender:
            for task in contender.thread_times():
                os.sched_setaffinity(int(task), processors)
            count = max(60, int(1500 / statistics.median(contender.run(10))))
            alone = contender.run(count)
            spin = f"import os; os.sched_setaffinity(0, [{processors[1]}])\nwhile True: pass"
            spinner = subprocess.Popen([sys.executable, "-c", spin])
            try:
                time.sleep(0.3)
                beside = contender.run(count)
            finally:
                spinner.kill()
                spinner.wait()
        result[engine] = {name: {"ms": statistics.median(t), "p99": float(np.percentile(t, 99))}
                          for name, t in (("alone", alone), ("beside", beside))}
    return result


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    words = lambda text: text.split(",")
    numbers = lambda text: [int(t) for t in text.split(",")]
    parser.add_argument("--build", type=Path, required=True, help="Octet's build folder")
    parser.add_argument("--work", type=Path, required=True, help="where files and results go")
    parser.add_argument("--networks", type=words, default=list(networks.NETWORKS))
    parser.add_argument("--precisions", type=words, default=["int8", "fp32"])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--batches", type=numbers, default=[1, 8])
    parser.add_argument("--isas", type=words, help="levels for INT8: amx,avx512vnni,avx2; default: all there are here")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0, help="of the order within the rounds")
    parser.add_argument("--only", choices=["prepare", "latency", "footprint", "neighbour"], help="leave the rest out")
    parser.add_argument("--merge", action="store_true", help="keep the other rows of the last results")
    return parser.parse_args()


def cases(options, name, weights):
    """Every row of one network; the older instruction sets on one thread, batch 1, INT8."""
    folder = options.work / name
    for precision in options.precisions:
        for threads in options.threads:
            for batch in options.batches:
                for isa in options.isas:
                    if isa == best_isa() or (precision == "int8" and threads == batch == 1):
                        yield Case(name, precision, threads, batch, isa, folder, weights, options.build)


def main():
    options = arguments()
    levels = ["amx", "avx512vnni", "avx2"]
    options.isas = options.isas or levels[levels.index(best_isa()):]
    path = options.work / "results.json"
    results = {"latency": {}, "footprint": {}, "neighbour": {}, "unavailable": {}}
    if options.merge and path.exists():
        results = json.loads(path.read_text())
    results["machine"] = prepare.machine()
    results["date"] = datetime.date.today().isoformat()
    results["versions"] = report.versions()
    results["rounds"] = options.rounds
    shuffle = random.Random(options.seed)
    wants = lambda part: options.only in (None, part)
    for name in options.networks:
        try:
            weights = prepare.prepare(name, options.work / name, options.build)
        except prepare.Unavailable as reason:
            results["unavailable"][name] = str(reason)
            continue
        expected = np.load(options.work / name / "expected.npz")
        results.setdefault("gop", {})[name] = 2e-9 * float(expected["macs"])
        for case in cases(options, name, weights):
            if wants("latency"):
                print(case.key, file=sys.stderr, flush=True)
                times = measure(case, expected, options.rounds, shuffle)
                results["latency"][case.key] = {"times": times, "ratio": ratios(times), "limit_ms": limit_ms(case)}
            plain = case.native and case.batch == 1
            if wants("footprint") and plain and case.threads == 1:
                results["footprint"][case.key] = footprint(case)
            if wants("neighbour") and plain and case.threads == 2 and case.precision == "int8":
                results["neighbour"][case.key] = busy_neighbour(case)
            report.publish(path, json.dumps(results, indent=1))  # a run that is broken off keeps its rows
        if wants("footprint") and name == "catdog":
            results["first_label_ms"] = first_label(options.build, options.work / name / "photos/0.png")
    report.publish(path, json.dumps(results, indent=1))
    if options.only != "prepare":
        report.publish(options.work / "results.md", report.markdown(results))
        print(report.text(results))


if __name__ == "__main__":
    try:
        main()
    except checks.Refused as reason:
        raise SystemExit(f"not timed: {reason}")
