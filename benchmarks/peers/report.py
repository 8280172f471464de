"""The results as text for a terminal and as Markdown for a page; results.json holds everything behind them."""

import importlib.metadata
import os

ENGINES = ["octet", "octet from bytes", "onnxruntime", "openvino", "ncnn"]
TITLES = {"octet": "Octet", "octet from bytes": "Octet, photo bytes", "onnxruntime": "ONNX Runtime",
          "openvino": "OpenVINO", "ncnn": "ncnn", "python": "Python + NumPy alone"}


def versions():
    return {name: importlib.metadata.version(name) for name in ("onnxruntime", "openvino", "ncnn")}


def publish(path, text):
    """Whole or not at all."""
    temporary = f"{path}.tmp"
    with open(temporary, "w") as file:
        file.write(text)
    os.replace(temporary, path)


def cell(times):
    return f"{times['ms']:.3g} ({times['p10']:.3g}-{times['p90']:.3g})" if times else "-"


def latency_rows(results):
    rows = [["network", "precision", "level", "threads", "batch"] + [TITLES[e] for e in ENGINES]
            + ["Octet / best peer", "Octet, % of its limit"]]
    for key, entry in results["latency"].items():
        network, precision, isa, threads, batch = key.split("/")
        ratio = entry["ratio"]
        rows.append([network, precision, isa, threads[:-1], batch[1:]]
                    + [cell(entry["times"].get(e)) for e in ENGINES]
                    + [f"{ratio['ratio']:.2f} ({ratio['p10']:.2f}-{ratio['p90']:.2f}) of {TITLES[ratio['best_peer']]}",
                       f"{100 * entry['limit_ms'] / entry['times']['octet']['ms']:.0f} %"])
    return rows


def footprint_rows(results):
    engines = [e for e in ENGINES if e != "octet from bytes"] + ["python"]
    rows = [["network", "precision", "what"] + [TITLES[e] for e in engines]]
    for key, entry in results["footprint"].items():
        network, precision = key.split("/")[:2]
        rows.append([network, precision, "start to first result, ms"]
                    + [f"{entry[e]['start_ms']:.1f}" if e in entry else "-" for e in engines])
        rows.append([network, precision, "peak memory, MB"]
                    + [f"{entry[e]['peak_bytes'] / 1e6:.1f}" if e in entry else "-" for e in engines])
    return rows


def neighbour_rows(results):
    rows = [["network", "runtime", "alone, ms", "p99", "beside, ms", "p99", "median, times", "p99, times"]]
    for key, entry in results["neighbour"].items():
        for engine, t in entry.items():
            alone, beside = t["alone"], t["beside"]
            rows.append([key.split("/")[0], TITLES[engine], f"{alone['ms']:.3g}", f"{alone['p99']:.3g}",
                         f"{beside['ms']:.3g}", f"{beside['p99']:.3g}", f"{beside['ms'] / alone['ms']:.2f}",
                         f"{beside['p99'] / alone['p99']:.2f}"])
    return rows


def agreement_rows(results):
    rows = [["network", "precision", "level", "runtime", "outputs, compared with FP32"]]
    seen = set()
    for key, entry in results["latency"].items():
        network, precision, isa = key.split("/")[:3]
        for engine, t in entry["times"].items():
            if (network, precision, isa, engine) not in seen:
                seen.add((network, precision, isa, engine))
                rows.append([network, precision, isa, TITLES[engine], t["agreement"]])
    return rows


def sections(results):
    m = results["machine"]
    peers = ", ".join(f"{TITLES[name]} {version}" for name, version in results["versions"].items())
    yield (f"{m['processor']} (family {m['family']}, model {m['model']}), {m['processors']} processors, "
           f"{' '.join(m['instruction_sets'])}; {results['date']}; {peers}"), None
    if results["latency"]:
        yield (f"Latency of a whole batch, ms: median (10-90 %) over {results['rounds']} interleaved rounds. "
               "ncnn has no batches: it runs the images one by one. Its wheel has no quantiser: its INT8 model is "
               "written by this script"), latency_rows(results)
        yield "Agreement, checked before timing", agreement_rows(results)
    if results["footprint"]:
        yield "One process, one photo, one thread (a peer's include Python and NumPy)", footprint_rows(results)
    if "first_label_ms" in results:
        yield f"octet run catdog PHOTO, process start to end: {results['first_label_ms']:.1f} ms", None
    if results["neighbour"]:
        yield "A busy neighbour: two threads on two processors, something spins on one of them", neighbour_rows(results)
    for name, reason in results["unavailable"].items():
        yield f"{name} was left out: {reason}", None


def text(results):
    parts = []
    for title, rows in sections(results):
        parts.append(title)
        if rows:
            widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
            rows = [rows[0], ["-" * w for w in widths]] + rows[1:]
            parts.append("\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows))
    return "\n\n".join(parts)


def markdown(results):
    parts = []
    for title, rows in sections(results):
        parts.append(title + ".")
        if rows:
            rows = [rows[0], ["---"] * len(rows[0])] + rows[1:]
            parts.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    return "\n\n".join(parts) + "\n"
