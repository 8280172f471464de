"""mAP as nuScenes defines it, for the log of a training run; the figures that count are `octet evaluate centerpoint`'s.

A detection is right when its centre is within d of a true one's (seen from above) that no better detection has taken;
average precision is the mean of precision - 0.1, where positive, over recalls from 0.1 to 1, divided by 0.9; mAP is its
mean over d = 0.5, 1, 2, 4 m and the ten classes. Objects beyond their class's range, or without a point, do not count.
"""
import numpy as np

from .network import LABELS

DISTANCES = (0.5, 1.0, 2.0, 4.0)
RANGE = {"car": 50, "truck": 50, "bus": 50, "trailer": 50, "construction_vehicle": 50, "pedestrian": 40,
         "motorcycle": 40, "bicycle": 40, "traffic_cone": 30, "barrier": 30}


def average_precision(true_frame, true_xy, frame, score, xy, distance):
    if not len(true_frame):
        return float("nan")
    by_frame = {f: np.nonzero(true_frame == f)[0] for f in np.unique(true_frame)}
    taken = np.zeros(len(true_frame), bool)
    right = np.zeros(len(score), bool)
    for i, d in enumerate(np.argsort(-score, kind="stable")):
        near = by_frame.get(frame[d])
        if near is None:
            continue
        far = np.hypot(*(true_xy[near] - xy[d]).T)
        far[taken[near]] = np.inf
        best = far.argmin()
        if far[best] < distance:
            taken[near[best]] = right[i] = True
    hits = np.cumsum(right)
    if not len(hits) or hits[-1] == 0:
        return 0.0
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / len(true_frame)
    precision = np.interp(np.linspace(0, 1, 101), recall, precision, right=0)
    return float(np.clip(precision[11:] - 0.1, 0, None).mean() / 0.9)


class Metric:
    def __init__(self):
        self.true, self.made = [], []

    def add(self, first, true_frame, true_label, true_box, frame, label, score, box):
        """Of one batch whose first frame has this number."""
        numbers = lambda *t: [v.detach().cpu().numpy() for v in t]
        f, l, b = numbers(true_frame, true_label, true_box)
        self.true.append((f + first, l, b[:, :2]))
        f, l, s, b = numbers(frame, label, score, box)
        self.made.append((f + first, l, s, b[:, :2]))

    def result(self):
        """{"mAP": percent, "AP": {class: percent}}; classes without a true object are left out."""
        f, l, xy = (np.concatenate(p) for p in zip(*self.true))
        mf, ml, ms, mxy = (np.concatenate(p) for p in zip(*self.made))
        per_class = {}
        for label, name in enumerate(LABELS):
            t = (l == label) & (np.hypot(*xy.T) < RANGE[name])
            m = (ml == label) & (np.hypot(*mxy.T) < RANGE[name])
            if t.any():
                each = [average_precision(f[t], xy[t], mf[m], ms[m], mxy[m], d) for d in DISTANCES]
                per_class[name] = round(100 * float(np.mean(each)), 2)
        return {"mAP": round(float(np.mean(list(per_class.values()))), 2) if per_class else None, "AP": per_class}
