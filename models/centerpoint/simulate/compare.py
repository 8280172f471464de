"""python3 -m models.centerpoint.simulate.compare SIMULATED_DIR --real FRAME... --svg F.svg

Histograms of simulated frames beside those of real ones: range, height, intensity, points by beam, and points on an
object by its distance; the numbers as a table on stdout. Frames are NAME.f32x5.bin or .fp16x5.bin; the newest sweep's
points are compared by beam, all points otherwise. Only statistics leave this script, no point of a real frame does.
"""
import argparse
import glob
import json
import math
import os

import numpy as np

RANGE = (-54.0, -54.0, -5.0, 54.0, 54.0, 3.0)
VOXEL = np.array((0.075, 0.075, 0.2))
COLOURS = ("#1f6fb4", "#d1661b", "#3a8f4d", "#8a4fa8")


def read(path):
    kind = np.float16 if ".fp16x5." in path or ".f16x5." in path else np.float32
    points = np.fromfile(path, kind).reshape(-1, 5).astype(np.float32)
    if len(points) and (points[:, 4] == np.round(points[:, 4])).all() and points[:, 4].max() > 1:
        points[:, 4] = 0  # the laser's number: one sweep
    return points


def voxels(points):
    low, high = np.array(RANGE[:3]), np.array(RANGE[3:])
    inside = ((points[:, :3] > low) & (points[:, :3] < high)).all(1)
    cells = np.floor((points[inside, :3].astype(np.float64) - low) / VOXEL).astype(np.int64)
    return len(np.unique((cells[:, 2] * 1440 + cells[:, 1]) * 1440 + cells[:, 0]))


class Statistics:
    """Of a set of frames: counts a frame, and shares (percent) by bin."""
    EDGES = {"range": np.linspace(2, 80, 40), "height": np.linspace(-4, 8, 49), "intensity": np.linspace(0, 120, 41),
             "beam": np.arange(33) - 0.5}

    def __init__(self, name, paths):
        self.name, self.frames = name, len(paths)
        self.points, self.newest, self.voxels, self.objects = [], [], [], []
        sums = {k: np.zeros(len(e) - 1) for k, e in self.EDGES.items()}
        for path in paths:
            p = read(path)
            distance = np.linalg.norm(p[:, :3], axis=1)
            far = distance > 2
            self.points.append(len(p))
            self.newest.append(int((far & (p[:, 4] < 0.01)).sum()))
            self.voxels.append(voxels(p))
            elevation = np.degrees(np.arctan2(p[:, 2], np.hypot(p[:, 0], p[:, 1])))
            beam = np.round((elevation + 30.67) / (41.34 / 31))
            for key, values in (("range", distance[far]), ("height", p[far, 2]), ("intensity", p[far, 3]),
                                ("beam", beam[far & (p[:, 4] < 0.01)])):
                sums[key] += np.histogram(values, self.EDGES[key])[0]
            note = path.split(".f32x5")[0].split(".fp16x5")[0] + ".annotations.json"
            if os.path.exists(note):
                with open(note) as f:
                    self.objects += json.load(f)["instances"]
        self.shares = {k: 100 * v / max(v.sum(), 1) for k, v in sums.items()}
        self.shares["beam"] = sums["beam"] / max(len(paths), 1)  # points, not percent

    def seen(self, classes, low, high):
        """Points on the objects of these classes between two distances: their median, and how many objects."""
        counts = [o["num_lidar_pts"] for o in self.objects if o["class"] in classes and o["num_lidar_pts"] > 0
                  and low <= math.hypot(o["box"][0], o["box"][1]) < high]
        return (float(np.median(counts)) if counts else float("nan")), len(counts)


def panel(x0, y0, title, unit, edges, sets):
    width, height = 380, 190
    top = max(s.max() for _, s in sets) * 1.08
    out = [f'<text x="{x0}" y="{y0 - 8}" font-weight="bold">{title}</text>',
           f'<path d="M{x0} {y0}V{y0 + height}H{x0 + width}" fill="none" stroke="#888"/>',
           f'<text x="{x0 - 4}" y="{y0 + 10}" text-anchor="end">{top:.3g}</text>']
    for i in range(5):
        value = edges[0] + (edges[-1] - edges[0]) * i / 4
        out.append(f'<text x="{x0 + width * i / 4}" y="{y0 + height + 15}" text-anchor="middle">{value:.0f}</text>')
    out.append(f'<text x="{x0 + width}" y="{y0 + height + 29}" text-anchor="end">{unit}</text>')
    for colour, (_, share) in zip(COLOURS, sets):
        x = x0 + width * (edges - edges[0]) / (edges[-1] - edges[0])
        y = y0 + height * (1 - share / top)
        path = f"M{x[0]:.1f} {y0 + height}" + "".join(f"V{y[i]:.1f}H{x[i + 1]:.1f}" for i in range(len(share)))
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return out


def draw(sets, path):
    names = (("range", "Share of points by range", "metres; %"), ("height", "by height over the sensor", "metres; %"),
             ("intensity", "by intensity", "%"), ("beam", "Points of the newest sweep by beam", "beam, from below"))
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 580" font-family="sans-serif" font-size="11">',
           '<rect width="900" height="580" fill="white"/>']
    for i, (key, title, unit) in enumerate(names):
        out += panel(50 + 440 * (i % 2), 60 + 270 * (i // 2), title, unit, Statistics.EDGES[key],
                     [(s.name, s.shares[key]) for s in sets])
    for i, (colour, s) in enumerate(zip(COLOURS, sets)):
        out.append(f'<text x="{50 + 280 * i}" y="22" fill="{colour}" font-weight="bold">{s.name}</text>')
    with open(path + ".tmp", "w") as f:
        f.write("\n".join(out) + "\n</svg>\n")
    os.replace(path + ".tmp", path)


def table(sets):
    print(f"{'':34}" + "".join(f"{s.name:>34}" for s in sets))
    for title, key in (("points a frame", "points"), ("of the newest sweep, beyond 2 m", "newest"),
                       ("voxels of 0.075 x 0.075 x 0.2 m", "voxels")):
        print(f"{title:34}" + "".join(f"{np.mean(getattr(s, key)):>34.0f}" for s in sets))
    for classes in (("car",), ("truck", "bus", "trailer", "construction_vehicle"), ("pedestrian",), ("barrier",),
                    ("traffic_cone",)):
        for low, high in ((0, 10), (10, 20), (20, 30), (30, 50)):
            cells = [s.seen(classes, low, high) for s in sets]
            if any(n for _, n in cells):
                print(f"{classes[0] + (', ...' if len(classes) > 1 else ''):16}{f'{low} to {high} m':18}"
                      + "".join(f"{f'{m:.0f} ({n} objects)':>34}" if n else f"{'-':>34}" for m, n in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--real", nargs="*", default=[])
    parser.add_argument("--svg")
    args = parser.parse_args()
    paths = sorted(glob.glob(os.path.join(args.folder, "*.f32x5.bin")))
    if not paths:
        raise SystemExit(f"{args.folder}: no FRAME.f32x5.bin in it")
    sets = [Statistics(f"simulated ({len(paths)} frames)", paths)]
    sets += [Statistics("real: " + os.path.basename(p).split(".")[0], [p]) for p in args.real]
    table(sets)
    if args.svg:
        draw(sets, args.svg)


if __name__ == "__main__":
    main()
