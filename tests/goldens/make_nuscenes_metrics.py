#!/usr/bin/env python3
"""nuScenes' detection metrics by nuscenes-devkit itself (pip install nuscenes-devkit), to compare Octet's with.

    make_nuscenes_metrics.py
        writes nuscenes_metrics.json: made-up frames and what the devkit says about them
    make_nuscenes_metrics.py OCTET MODEL FOLDER ARG...
        compares `OCTET evaluate MODEL --data FOLDER ARG...` with what the devkit says about the boxes that
        `OCTET run MODEL FOLDER ARG...` prints
"""
import json
import math
import pathlib
import random
import subprocess
import sys

import numpy as np
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.loaders import filter_eval_boxes
from nuscenes.eval.detection.algo import accumulate, calc_ap, calc_tp
from nuscenes.eval.detection.config import config_factory
from nuscenes.eval.detection.constants import TP_METRICS
from nuscenes.eval.detection.data_classes import DetectionBox, DetectionMetricDataList, DetectionMetrics
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

RULES = config_factory("detection_cvpr_2019")
KINDS = ["car", "truck", "construction_vehicle", "bus", "trailer", "barrier", "motorcycle", "bicycle", "pedestrian",
         "traffic_cone"]  # in the order of CenterPoint's tasks
IDENTITY = np.eye(4).tolist()


# ---- What the devkit says about frames in Octet's form -------------------------------------------------------------
class Tables:
    """The two look-ups of NuScenes that filter_eval_boxes makes: bicycle racks."""

    def __init__(self, racks):
        self.racks = racks

    def get(self, table, token):
        if table == "sample":
            return {"anns": [(token, i) for i in range(len(self.racks[token]))]}
        box = self.racks[token[0]][token[1]]
        return {"category_name": "static_object.bicycle_rack", "translation": box.center.tolist(),
                "size": box.wlh.tolist(), "rotation": box.orientation.elements.tolist()}


def rotation_of(matrix):
    return Quaternion(matrix=np.array(matrix)[:3, :3], rtol=1e-4, atol=1e-4)


def to_map(box, frame):
    for key in ("lidar2ego", "ego2global"):
        matrix = np.array(frame.get(key, IDENTITY))
        box.rotate(rotation_of(matrix))
        box.translate(matrix[:3, 3])
    return box


def annotated(instance, frame):
    x, y, z, l, w, h, yaw = instance["box"]
    velocity = [math.nan if v is None else v for v in instance.get("velocity") or [None, None]]
    return to_map(Box([x, y, z], [w, l, h], Quaternion(axis=[0, 0, 1], radians=yaw), velocity=(*velocity, 0)), frame)


def found_box(b, frame):
    """det3d's box: its size is (width, length, height), its yaw turns clockwise from the y axis."""
    box = Box([b["x"], b["y"], b["z"]], [b["dx"], b["dy"], b["dz"]],
              Quaternion(axis=[0, 0, 1], radians=-b["yaw"] - np.pi / 2), velocity=(b["vx"], b["vy"], 0))
    return to_map(box, frame)


def guessed_attribute(name, box):
    """det3d's rule."""
    moving = math.hypot(box["vx"], box["vy"]) > 0.2
    if moving and name in ("car", "construction_vehicle", "bus", "truck", "trailer"):
        return "vehicle.moving"
    if moving and name in ("bicycle", "motorcycle"):
        return "cycle.with_rider"
    if not moving and name == "pedestrian":
        return "pedestrian.standing"
    if not moving and name == "bus":
        return "vehicle.stopped"
    return {"bicycle": "cycle.without_rider", "motorcycle": "cycle.without_rider", "bus": "vehicle.moving",
            "pedestrian": "pedestrian.moving", "car": "vehicle.parked", "construction_vehicle": "vehicle.parked",
            "trailer": "vehicle.parked", "truck": "vehicle.parked"}.get(name, "")


def eval_box(token, name, box, frame, **more):
    vehicle = np.array(frame.get("ego2global", IDENTITY))[:3, 3]
    return DetectionBox(sample_token=token, translation=tuple(box.center), size=tuple(box.wlh),
                        rotation=tuple(box.orientation.elements), velocity=tuple(box.velocity[:2]),
                        ego_translation=tuple(box.center - vehicle), detection_name=name, **more)


def devkit(frames):
    """frames: [(annotations, boxes)], boxes as in `octet run --json`."""
    truth, found, racks = EvalBoxes(), EvalBoxes(), {}
    for i, (frame, boxes) in enumerate(frames):
        token = str(i)
        racks[token] = []
        truth.add_boxes(token, [])
        found.add_boxes(token, [])
        for instance in frame["instances"]:
            if "box" not in instance:
                continue
            if instance["class"] == "bicycle_rack":
                racks[token].append(annotated(instance, frame))
            if instance["class"] in KINDS:
                points = instance.get("num_lidar_pts", -1)
                truth.add_boxes(token, [eval_box(
                    token, instance["class"], annotated(instance, frame), frame,
                    num_pts=points if points < 0 else points + instance.get("num_radar_pts", 0),
                    attribute_name=instance.get("attribute") or "")])
        for b in boxes:
            found.add_boxes(token, [eval_box(token, b["label"], found_box(b, frame), frame, detection_score=b["score"],
                                             attribute_name=guessed_attribute(b["label"], b))])
    for boxes in (truth, found):
        if boxes.all:
            filter_eval_boxes(Tables(racks), boxes, RULES.class_range)
    return evaluate(truth, found)


def evaluate(truth, found):
    """DetectionEval.evaluate() without a data set behind it."""
    data, metrics = DetectionMetricDataList(), DetectionMetrics(RULES)
    for name in RULES.class_names:
        for threshold in RULES.dist_ths:
            data.set(name, threshold, accumulate(truth, found, name, RULES.dist_fcn_callable, threshold))
            ap = calc_ap(data[(name, threshold)], RULES.min_recall, RULES.min_precision)
            metrics.add_label_ap(name, threshold, ap)
        for error in TP_METRICS:
            nothing = name == "traffic_cone" and error in ("attr_err", "vel_err", "orient_err") or \
                name == "barrier" and error in ("attr_err", "vel_err")
            value = np.nan if nothing else calc_tp(data[(name, RULES.dist_th_tp)], RULES.min_recall, error)
            metrics.add_label_tp(name, error, value)
    s = metrics.serialize()
    number = lambda v: None if math.isnan(v) else v
    return {"mAP": s["mean_ap"], "NDS": s["nd_score"], "errors": [number(s["tp_errors"][e]) for e in TP_METRICS],
            "classes": {name: {"ap": [s["label_aps"][name][t] for t in RULES.dist_ths],
                               "errors": [number(s["label_tp_errors"][name][e]) for e in TP_METRICS]}
                        for name in RULES.class_names}}


# ---- Made-up frames ------------------------------------------------------------------------------------------------
SIZES = {"car": (4.6, 1.9, 1.7), "truck": (6.9, 2.5, 2.8), "bus": (11, 2.9, 3.5), "trailer": (12, 2.9, 3.9),
         "construction_vehicle": (6.4, 2.8, 3.2), "pedestrian": (0.7, 0.7, 1.8), "motorcycle": (2.1, 0.8, 1.5),
         "bicycle": (1.7, 0.6, 1.3), "traffic_cone": (0.4, 0.4, 1.1), "barrier": (0.5, 2.5, 1.0)}
ATTRIBUTES = {"vehicle": ["moving", "parked", "stopped"], "cycle": ["with_rider", "without_rider"],
              "pedestrian": ["moving", "standing", "sitting_lying_down"]}


def exact(value, parts=64):
    """Numbers that a float32 holds too."""
    return round(value * parts) / parts


def attributes_of(name):
    family = {"pedestrian": "pedestrian", "motorcycle": "cycle", "bicycle": "cycle", "barrier": "", "traffic_cone": ""}
    family = family.get(name, "vehicle")
    return [f"{family}.{a}" for a in ATTRIBUTES[family]] if family else [""]


def made_instance(r, name, reach):
    angle, far = r.uniform(-math.pi, math.pi), reach * math.sqrt(r.random())
    speed = r.choice([0, 0, 0.1, 0.3, 8])
    yaw = exact(r.uniform(-7, 7), 256)
    instance = {"class": name,
                "box": [exact(far * math.cos(angle)), exact(far * math.sin(angle)), exact(r.uniform(-2, 0)),
                        *[max(exact(s * r.uniform(0.8, 1.2)), 1 / 64) for s in SIZES[name]], yaw],
                "velocity": [exact(speed * math.cos(yaw)), exact(speed * math.sin(yaw))],
                "num_lidar_pts": r.choice([0, 1, 5, 50, 500])}
    if r.random() < 0.1:
        instance["velocity"] = None
    if r.random() < 0.1:
        instance["num_radar_pts"] = 2
    if r.random() < 0.9:
        instance["attribute"] = r.choice(attributes_of(name))
    return instance


def made_box(r, instance, noise, scores):
    """What a detector that errs by `noise` might have found of it."""
    x, y, z, l, w, h, yaw = instance["box"]
    v = instance["velocity"] or [0, 0]
    off = lambda value, by: exact(value + r.gauss(0, by * noise))
    turned = 3 * math.pi / 2 if r.random() < 0.1 else math.pi / 2  # some look the other way
    return {"label": instance["class"], "score": r.randint(1, scores) / scores,
            "x": off(x, 0.6), "y": off(y, 0.6), "z": off(z, 0.2), "dx": max(off(w, 0.1), 1 / 64),
            "dy": max(off(l, 0.3), 1 / 64), "dz": max(off(h, 0.1), 1 / 64),
            "yaw": exact(-yaw - turned + r.gauss(0, 0.2 * noise), 1024),
            "vx": off(v[0], 0.3), "vy": off(v[1], 0.3)}


def tilted_poses(r):
    """A LiDAR turned by 90 degrees on a vehicle that stands on a slope somewhere on a map, as in nuScenes."""
    def pose(yaw, pitch, roll, at):
        q = Quaternion(axis=[0, 0, 1], radians=yaw) * Quaternion(axis=[0, 1, 0], radians=pitch) * \
            Quaternion(axis=[1, 0, 0], radians=roll)
        matrix = q.transformation_matrix
        matrix[:3, 3] = at
        return matrix.tolist()
    return {"lidar2ego": pose(-math.pi / 2, 0.02, 0.01, [0.94, 0, 1.84]),
            "ego2global": pose(r.uniform(-3, 3), r.uniform(-0.05, 0.05), r.uniform(-0.05, 0.05),
                               [r.uniform(300, 2000), r.uniform(300, 2000), 0])}


def made_frame(r, kinds, objects, noise, scores, missed=0.2, ghosts=0.3, reach=60, tilted=False, rack=False):
    instances = [made_instance(r, r.choice(kinds), reach) for _ in range(objects)]
    boxes = [made_box(r, i, noise, scores) for i in instances if r.random() >= missed]
    for _ in range(int(objects * ghosts)):
        boxes.append(made_box(r, made_instance(r, r.choice(kinds), reach), noise, scores))
    boxes += [made_box(r, i, noise, scores) for i in instances if r.random() < ghosts / 3]  # found twice
    r.shuffle(boxes)
    frame = {"instances": instances, **(tilted_poses(r) if tilted else {})}
    if rack:
        near = next(i["box"] for i in instances if i["class"] in ("bicycle", "motorcycle"))
        frame["instances"].append({"class": "bicycle_rack", "box": [*near[:3], 6, 2, 2, near[6]]})
        frame["instances"].append({"class": "animal", "box": [1, 1, 0, 1, 1, 1, 0]})
    return frame, boxes


CASES = {
    "everything, noisy": lambda r: [made_frame(r, KINDS, 30, 1, 1 << 16) for _ in range(5)],
    "many ties of scores": lambda r: [made_frame(r, KINDS, 20, 1, 4) for _ in range(4)],
    "a city with slopes": lambda r: [made_frame(r, ["car"] * 6 + ["pedestrian"] * 4 + ["barrier"] * 4 + KINDS, 30, 0.6,
                                                1 << 16, tilted=True) for _ in range(4)],
    "bicycle racks": lambda r: [made_frame(r, ["bicycle", "motorcycle", "pedestrian"], 16, 0.7, 256, reach=12,
                                           tilted=True, rack=True) for _ in range(3)],
    "crowded: who takes whom": lambda r: [made_frame(r, ["pedestrian", "barrier"], 40, 2, 256, reach=8)
                                          for _ in range(2)],
    "far too few found": lambda r: [made_frame(r, KINDS, 20, 1, 256, missed=0.93, ghosts=0.1) for _ in range(4)],
    "nothing found": lambda r: [made_frame(r, KINDS, 12, 1, 256, missed=1, ghosts=0)],
    "nothing there": lambda r: [({"instances": []}, made_frame(r, KINDS, 12, 1, 256)[1])],
}


def make(path):
    cases = []
    for i, (name, frames_of) in enumerate(CASES.items()):
        frames = frames_of(random.Random(i))
        packed = [{**frame, "boxes": [[b["label"], b["score"], b["x"], b["y"], b["z"], b["dx"], b["dy"], b["dz"],
                                       b["yaw"], b["vx"], b["vy"]] for b in boxes]} for frame, boxes in frames]
        cases.append({"name": name, "frames": packed, "expected": devkit(frames)})
    path.write_text(json.dumps(cases, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
    print(f"{path}: {path.stat().st_size} bytes")
    for case in cases:
        print(f"  {case['name']:28} mAP {case['expected']['mAP']:.4f} NDS {case['expected']['NDS']:.4f}")


# ---- A folder of real frames ---------------------------------------------------------------------------------------
def compare(octet, model, folder, more):
    """The largest difference between `octet evaluate` and the devkit on what `octet run` finds."""
    call = lambda *a: json.loads(subprocess.run([octet, *a, *more, "--json", "--quiet"], check=True,
                                                stdout=subprocess.PIPE).stdout)
    ours, found = call("evaluate", model, "--data", folder), call("run", model, folder)
    frames = []
    for frame in found.get("frames", [found]):
        path = pathlib.Path(frame["file"])
        notes = path.with_name(path.name.rsplit(".", 2)[0] + ".annotations.json")
        frames.append((json.loads(notes.read_text()), frame["boxes"]))
    theirs = devkit(frames)
    pairs = [(100 * theirs["mAP"], ours["mAP"]), (100 * theirs["NDS"], ours["NDS"]),
             *zip(theirs["errors"], ours["errors"].values())]
    for name, row in theirs["classes"].items():
        own = ours["per_class"][name]
        pairs += [*zip([100 * ap for ap in row["ap"]], own["AP_by_distance"].values()),
                  *zip(row["errors"], [own[e] for e in ("ATE", "ASE", "AOE", "AVE", "AAE")])]
    assert all((a is None) == (b is None) for a, b in pairs)
    worst = max(abs(a - b) for a, b in pairs if a is not None)
    print(f"{len(frames)} frames: mAP {ours['mAP']:.4f} %, NDS {ours['NDS']:.4f} %; "
          f"{len(pairs)} figures differ from the devkit's by {worst:.2g} at most")
    return 0 if worst <= 1e-6 else 1


if __name__ == "__main__":
    if len(sys.argv) == 1:
        make(pathlib.Path(__file__).with_name("nuscenes_metrics.json"))
    elif len(sys.argv) > 3:
        sys.exit(compare(*sys.argv[1:4], sys.argv[4:]))
    else:
        sys.exit(__doc__)
