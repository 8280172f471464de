#!/usr/bin/env python3
"""The LiDAR simulator (models/centerpoint/simulate): points lie on surfaces, nearer things hide farther ones, boxes
hold their objects, frames do not depend on how they were made, and octet reads what was written.

test_simulate.py [OCTET-PROGRAM]; exit status 77: skipped, no PyTorch or NumPy here.
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest

from torch_or_skip import numpy, torch

from models.centerpoint.simulate import bodies, counter, frames, layout, parts, rays, sensor, worlds

OCTET = None
DEVICE = "cpu"
KEYS = counter.frame_keys(1, [0], DEVICE)


class Counter(unittest.TestCase):
    def test_is_splitmix64(self):
        # The published first outputs of splitmix64 seeded with 1234567: state += golden, then the finaliser.
        state, made = 1234567, []
        for _ in range(3):
            made.append(int(counter.mix(torch.tensor([state]))) % (1 << 64))
            state = counter._signed((state + 0x9E3779B97F4A7C15) % (1 << 64))
        self.assertEqual(made, [6457827717110365317, 3203168211198807973, 9817491932198370423])

    def test_moments(self):
        draws = counter.Draws(counter.frame_keys(1, range(4), DEVICE))
        u, n = draws.uniform(50000), draws.normal(50000)
        self.assertTrue(0 <= float(u.min()) and float(u.max()) < 1)
        self.assertAlmostEqual(float(u.mean()), 0.5, delta=0.005)
        self.assertAlmostEqual(float(n.mean()), 0.0, delta=0.01)
        self.assertAlmostEqual(float(n.std()), 1.0, delta=0.01)


def one_piece(kind, centre, half, extra=(0.0, 0.0, 0.0), tilt=(0.0, 0.0), yaw=0.0):
    class Body:
        pass
    body = Body()
    zero = torch.zeros(1)
    body.x, body.y, body.z = (torch.tensor([v]) for v in centre)
    body.yaw, body.vx, body.vy, body.height = torch.tensor([yaw]), zero, zero, zero
    body.frame = body.body = torch.zeros(1, dtype=torch.int64)
    builder = parts.Builder(body)
    builder.add(kind, (0.0, 0.0, 0.0), half, extra, tilt)
    return builder.lists[0]


def still_beams(columns=720):
    elevation = torch.linspace(sensor.LOWEST, sensor.HIGHEST, 32)
    return rays.Beams(torch.zeros(1, 1, 3), torch.full((1, 1), 0.3), elevation, torch.zeros(1), columns)


def implicit(kind, p, half, extra):
    """Below 0 inside of the piece, 0 on its surface: the definitions in parts.py, one at a time."""
    x, y, z = p.unbind(1)
    if kind == parts.POLYTOPE:
        return torch.stack((x + extra[0] * z - half[0], -x + extra[1] * z - half[0], y + extra[2] * z - half[1],
                            -y + extra[2] * z - half[1], z.abs() - half[2])).amax(0)
    if kind == parts.ELLIPSOID:
        return (p / torch.tensor(half)).norm(dim=1) - 1
    if kind == parts.FRUSTUM:
        k = 1 + (extra[0] - 1) * (z + half[2]) / (2 * half[2])
        return torch.maximum(torch.hypot(x / half[0], y / half[1]) - k, z.abs() - half[2])
    on_axis = z.clamp(-half[2], half[2])
    return torch.stack((x, y, z - on_axis)).norm(dim=0) - half[0]


CASES = ((parts.POLYTOPE, (6.0, 2.0, -0.5), (2.0, 0.9, 0.7), (0.6, 0.2, 0.2), (0.0, 0.0)),
         (parts.POLYTOPE, (-5.0, -4.0, 0.0), (0.2, 3.0, 1.5), (0.0, 0.0, 0.0), (0.0, 0.5)),
         (parts.ELLIPSOID, (1.0, -7.0, 0.3), (1.5, 0.8, 0.5), (0.0, 0.0, 0.0), (0.0, 0.0)),
         (parts.FRUSTUM, (3.0, 3.0, -1.2), (0.5, 0.4, 0.6), (0.2, 0.0, 0.0), (0.0, 0.0)),
         (parts.FRUSTUM, (-4.0, 2.0, -1.0), (0.6, 0.6, 0.2), (1.0, 0.0, 0.0), (math.pi / 2, 0.0)),
         (parts.CAPSULE, (-3.0, 4.0, -0.6), (0.2, 0.2, 0.5), (0.0, 0.0, 0.0), (0.0, 0.7)))


class Pieces(unittest.TestCase):
    def test_hits_are_the_first_points_inside(self):
        """Every ray against a march along it in small steps through the definition of the piece: also proves that the
        window of rays that is looked at leaves none out."""
        for kind, centre, half, extra, tilt in CASES:
            for yaw in (0.7, 2.5):
                piece, beams = one_piece(kind, centre, half, extra, tilt, yaw), still_beams()
                hits = rays.cast(piece, beams, KEYS)
                d = beams.directions().view(-1, 3)
                t = torch.arange(1.0, 12.0, 0.02)
                near = (torch.tensor(centre)[None] - (d @ torch.tensor(centre))[:, None] * d).norm(dim=1) < 4
                near &= d @ torch.tensor(centre) > 0
                points = (t[:, None, None] * d[near]).view(-1, 3) - piece.centre
                value = implicit(kind, points @ piece.rotation[0], half, extra).view(len(t), -1)
                inside = value < 0
                expected = torch.where(inside.any(0), t[inside.float().argmax(0)], torch.tensor(rays.FAR))
                found = hits.distance[near]
                where = f"{kind} {centre} {yaw}"
                self.assertGreater(int(inside.any(0).sum()), 5, where)
                self.assertFalse(bool((hits.distance[~near] < rays.FAR).any()), where)
                hit = found < rays.FAR
                met = (found[hit, None] * d[near][hit] - piece.centre) @ piece.rotation[0]
                surface = implicit(kind, met, half, extra)
                self.assertLess(float(surface.abs().max()), 1e-3, where)
                both = hit & (expected < rays.FAR)
                self.assertLess(float((expected[both] - found[both]).abs().max()), 0.0205, where)
                self.assertFalse(bool((~hit & (value.amin(0) < -0.01)).any()), where)  # but grazing rays

    def test_the_nearer_piece_wins(self):
        far = one_piece(parts.POLYTOPE, (20.0, 0.0, 0.0), (0.5, 8.0, 3.0))
        near = one_piece(parts.ELLIPSOID, (10.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        both = parts.Pieces(*(torch.cat((getattr(far, f), getattr(near, f))) for f in vars(far)))
        hits, alone = rays.cast(both, still_beams(), KEYS), rays.cast(near, still_beams(), KEYS)
        self.assertTrue(bool((hits.piece[alone.piece >= 0] == 1).all()))
        self.assertGreater(int((hits.piece == 0).sum()), 100)


class Frames(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.batch = frames.simulate(5, range(3), DEVICE, sweeps=2)

    def test_boxes_hold_their_objects(self):
        b, held, all_of_them = self.batch, 0, 0
        for i in range(len(b.box)):
            mine = (b.frame == b.box_frame[i]) & (b.body == b.box_body[i]) & (b.points[:, 4] == 0)
            self.assertEqual(int(mine.sum()), int(b.count[i]))
            if not mine.any():
                continue
            d = b.surface[mine] - b.box[i, :3]
            c, s = torch.cos(b.box[i, 6]), torch.sin(b.box[i, 6])
            local = torch.stack((d[:, 0] * c + d[:, 1] * s, d[:, 1] * c - d[:, 0] * s, d[:, 2]), 1)
            beyond = (local.abs() - b.box[i, 3:6] / 2).amax(1)
            held, all_of_them = held + int((beyond < 0.05).sum()), all_of_them + len(beyond)
            self.assertLess(float(beyond.max()), 0.2, bodies.CLASSES[int(b.label[i])])
        self.assertGreater(all_of_them, 2000)
        self.assertGreater(held, 0.99 * all_of_them)

    def test_moving_objects_lag_behind(self):
        """Points of the older sweep on a moving object, moved ahead by its speed, are in its box."""
        b, moving = self.batch, 0
        for i in torch.nonzero(b.velocity.norm(dim=1) > 3).flatten().tolist():
            mine = (b.frame == b.box_frame[i]) & (b.body == b.box_body[i]) & (b.points[:, 4] > 0)
            if int(mine.sum()) < 5:
                continue
            d = b.surface[mine] - b.box[i, :3]
            d[:, :2] += b.velocity[i] * sensor.PERIOD
            c, s = torch.cos(b.box[i, 6]), torch.sin(b.box[i, 6])
            local = torch.stack((d[:, 0] * c + d[:, 1] * s, d[:, 1] * c - d[:, 0] * s, d[:, 2]), 1)
            self.assertLess(float((local.abs() - b.box[i, 3:6] / 2).amax()), 0.2)
            moving += 1
        self.assertGreater(moving, 2)

    def test_labelled_boxes_do_not_overlap(self):
        _, all_bodies, _ = layout.make_layout(counter.frame_keys(5, range(8), DEVICE))
        hit = layout.overlaps(all_bodies, margin=0.0)
        hit &= all_bodies.alive[:, :, None] & all_bodies.alive[:, None, :] & ~torch.eye(hit.shape[1], dtype=torch.bool)
        self.assertFalse(bool(hit.any()))

    def test_ground_is_below(self):
        """Rays end on the ground's surface or the kerb's: found again by evaluating the height there."""
        keys = counter.frame_keys(6, range(2), DEVICE)
        street, _, draws = layout.make_layout(keys)
        ground = sensor.make_ground(draws)
        beams = sensor.make_beams(draws, ground, 1)
        t, _, _, _ = sensor.ground_hits(street, ground, beams)
        p = beams.origin[:, :, None, None] + t[..., None] * beams.directions()
        over = p[..., 2] - ground.height(p[..., 0], p[..., 1])
        good = t < 35  # beyond, rays graze
        kerb = street.kerb.view(-1, 1, 1, 1)
        off = torch.minimum(over.abs(), (over - kerb).abs())
        between = (over > 0) & (over < kerb)
        self.assertGreater(int(good.sum()), 20000)
        self.assertGreater(float(((off < 0.03) | between)[good].float().mean()), 0.995)

    def test_the_same_however_made(self):
        b = self.batch
        again = frames.simulate(5, [2], DEVICE, sweeps=2)
        self.assertTrue(torch.equal(again.points, b.points[b.frame == 2]))
        self.assertTrue(torch.equal(again.box, b.box[b.box_frame == 2]))
        other = frames.simulate(6, [2], DEVICE, sweeps=2)
        self.assertFalse(other.points.shape == again.points.shape and torch.equal(other.points, again.points))

    def test_another_world(self):
        """Other sizes and weather, from the same random numbers; its boxes hold their objects too."""
        def mean_height(batch, name):
            mine = batch.label == bodies.CLASSES.index(name)
            return float(batch.box[mine, 5].mean())

        usual = self.batch
        other = frames.simulate(5, range(3), DEVICE, sweeps=2, world=worlds.OTHER)
        self.assertLess(mean_height(other, "pedestrian"), 0.95 * mean_height(usual, "pedestrian"))
        self.assertLess(mean_height(other, "traffic_cone"), 0.85 * mean_height(usual, "traffic_cone"))
        seen = [int((b.points[:, :3].norm(dim=1) > 2).sum()) for b in (usual, other)]
        self.assertTrue(0.5 * seen[0] < seen[1] < 0.95 * seen[0], seen)  # rain
        self.assertGreater(len(other.box), 0.8 * len(usual.box))

    def test_counts_like_a_real_frame(self):
        """A real nuScenes sweep has about 26,000 points beyond 2 m, 34,700 in its file."""
        b = self.batch
        newest = b.points[:, 4] == 0
        far = b.points[:, :3].norm(dim=1) > 2
        for frame in range(b.frames):
            self.assertEqual(int(((b.frame == frame) & newest).sum()), frames.RAYS_A_SWEEP)
            self.assertTrue(18000 < int(((b.frame == frame) & newest & far).sum()) < 32000)
        self.assertTrue(bool(torch.isfinite(b.points).all()))
        intensity = b.points[:, 3]
        self.assertTrue(bool(((intensity >= 0) & (intensity <= 255) & (intensity == intensity.round())).all()))

    def test_octet_reads_them(self):
        with tempfile.TemporaryDirectory() as folder:
            names = [os.path.join(folder, f"f{i}") for i in range(3)]
            frames.write(self.batch, names)
            self.assertEqual(len(os.listdir(folder)), 6)
            for i, name in enumerate(names):
                points = numpy.fromfile(name + ".f32x5.bin", "<f4").reshape(-1, 5)
                self.assertTrue((points == self.batch.points[self.batch.frame == i].numpy()).all())
                with open(name + ".annotations.json") as f:
                    note = json.load(f)
                self.assertEqual(len(note["instances"]), int((self.batch.box_frame == i).sum()))
                for instance in note["instances"]:
                    self.assertIn(instance["class"], bodies.CLASSES)
                    self.assertEqual(instance["valid"], instance["num_lidar_pts"] > 0)
                    if instance["class"] == "car":
                        moving = math.hypot(*instance["velocity"]) > 0.2
                        self.assertEqual(instance["attribute"] == "vehicle.moving", moving)
            if OCTET is None:
                self.skipTest("no octet program was named")
            picture = os.path.join(folder, "f0.svg")
            grid = '{"range": [-6, -6, -5, 6, 6, 3]}'
            run = subprocess.run([OCTET, "run", "centerpoint", names[0] + ".f32x5.bin", "--centerpoint", grid,
                                  "--precision", "fp32", "--json", "--picture", picture],
                                 capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
            frame = json.loads(run.stdout)
            self.assertEqual(frame["points"], int((self.batch.frame == 0).sum()))
            self.assertGreater(os.path.getsize(picture), 1000)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        OCTET = sys.argv.pop(1)
    torch.set_num_threads(1)
    unittest.main(verbosity=2, warnings="ignore")
