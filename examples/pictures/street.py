#!/usr/bin/env python3
"""A street that does not exist, as a LiDAR with 32 lasers would see it: FRAME.f32x5.bin (x, y, z, intensity, time lag)
and FRAME.annotations.json with the boxes of its cars. Equal seeds give equal bytes. For the README's picture, with
nothing but Python's own library; frames to learn from are made by models/centerpoint/simulate.

    street.py FRAME.f32x5.bin [SEED]
"""
import json
import math
import random
import struct
import sys

HEIGHT, LASERS, TURN, REACH = 1.84, 32, 500, 50.0  # of the sensor above the ground; rays of one turn; metres


def street(rng):
    """Boxes (x, y, length, width, height, heading, kind): parked cars, some that drive, houses on both sides."""
    boxes = []
    for side in (-1, 1):
        x = -48.0
        while x < 44:
            if rng.random() < 0.7:
                boxes.append((x + 2.3, side * rng.uniform(5.3, 5.7), rng.uniform(4.0, 4.9), rng.uniform(1.7, 1.95),
                              rng.uniform(1.4, 1.8), rng.gauss(0, 0.03), "car"))
            x += rng.uniform(5.5, 8.0)
        for i in range(4):
            boxes.append((-36 + 24 * i, side * rng.uniform(15, 18), rng.uniform(14, 20), 8.0, 6.0, 0.0, "house"))
    for x, y, heading in ((13.0, -1.8, 0.0), (31.0, -1.6, 0.02), (-19.0, 1.8, math.pi), (22.0, 1.9, math.pi)):
        boxes.append((x, y, 4.5, 1.85, 1.55, heading, "car"))
    return boxes


def distance_to(box, dx, dy):
    """How far along (dx, dy), from the origin, a box's outline is entered; None when the ray misses it."""
    x, y, length, width, _, heading, _ = box
    c, s = math.cos(heading), math.sin(heading)
    ox, oy = -x * c - y * s, x * s - y * c  # the sensor, and the ray's direction, in the box's frame
    vx, vy = dx * c + dy * s, -dx * s + dy * c
    near, far = 0.0, math.inf
    for o, v, half in ((ox, vx, length / 2), (oy, vy, width / 2)):
        if abs(v) < 1e-12:
            if abs(o) > half:
                return None
            continue
        a, b = sorted(((-half - o) / v, (half - o) / v))
        near, far = max(near, a), min(far, b)
    return near if 0 < near <= far else None


def points_of(boxes, rng):
    for step in range(TURN):
        angle = 2 * math.pi * step / TURN
        dx, dy = math.cos(angle), math.sin(angle)
        hits = sorted((d, box) for box in boxes if (d := distance_to(box, dx, dy)) is not None)
        for laser in range(LASERS):
            slope = math.tan(math.radians(-30 + 40 * laser / (LASERS - 1)))
            ground = HEIGHT / -slope if slope < 0 else math.inf
            # The first box whose side the ray meets below its roof; else the ground.
            hit = next((d for d, box in hits if 0 <= HEIGHT + slope * d <= box[4] and d < ground), ground)
            if hit > REACH:
                continue
            hit += rng.gauss(0, 0.02)
            yield hit * dx, hit * dy, slope * hit, rng.uniform(2, 40), 0.0


def main():
    path, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng = random.Random(seed)
    boxes = street(rng)
    with open(path, "wb") as frame:
        for point in points_of(boxes, rng):
            frame.write(struct.pack("<5f", *point))
    instances = [{"class": kind, "box": [x, y, h / 2 - HEIGHT, length, width, h, heading]}
                 for x, y, length, width, h, heading, kind in boxes if kind == "car"]
    with open(path.removesuffix(".f32x5.bin") + ".annotations.json", "w") as file:
        json.dump({"instances": instances}, file)


if __name__ == "__main__":
    main()
