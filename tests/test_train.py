#!/usr/bin/env python3
"""CenterPoint's training (models/centerpoint/training): sparse convolutions against dense ones, targets against their
decoding, files, and the whole network, stage by stage, against octet's float one: two implementations of each other.

test_train.py [OCTET-PROGRAM]; exit status 77: skipped, no PyTorch or NumPy here.
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest

from torch_or_skip import numpy, torch

from models.centerpoint import train
from models.centerpoint.simulate import frames
from models.centerpoint.training import data, files, metric, network, qat, sparse, targets, voxels

OCTET = None
GRID = voxels.Grid((-7.2, -7.2, -5.0, 7.2, 7.2, 3.0), (0.15, 0.15, 0.2))


def settled(grid, seed=1):
    """A network with random weights and batch-norms that a simulated frame has settled; and that frame's voxels."""
    torch.manual_seed(seed)
    made = network.CenterPoint(grid.zyx(), network.PlainBackend())
    norms = [m for m in made.modules() if isinstance(m, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d))]
    for m in norms:
        torch.nn.init.uniform_(m.weight, 0.5, 1.5)
        torch.nn.init.uniform_(m.bias, -0.3, 0.3)
    pool = data.Pool("cpu")
    pool.simulate(7, [0], sweeps=2)
    points, frame, *_ = pool.batch([0])
    features, indices = voxels.voxelise(points, frame, grid, exact=True)
    kept = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 1.0
    made.train()
    with torch.no_grad():
        made(features, indices, 1)
    for m, momentum in zip(norms, kept):
        m.momentum = momentum
    return made.eval(), points, features, indices


class Integers:
    """Within this context the convolutions of a network with rounding sum integers, exactly, and its edges round the
    sums as rule 7 has it: what float32 sums come to but for a few ties."""

    def conv(self, conv, x, sums, shape):
        """sums(x, weight): the convolution in doubles."""
        rounding = conv.parametrizations.weight[0]
        weight, steps = conv.weight.double(), rounding.steps(conv.parametrizations.weight.original).double()
        along = [1] * weight.dim()
        along[rounding.axis] = -1
        self.unit = (steps * rounding.step_in).view(shape)
        made = sums(torch.round(x.double() / rounding.step_in), torch.round(weight / steps.view(along)))
        return (made + torch.round(conv.bias.double().view(shape) / self.unit)) * self.unit

    def edge(self, edge, x):
        step = float(edge.step)
        if self.unit is not None:
            p = torch.round(x.double() / self.unit).float() * (self.unit / step).float()
        elif self.step is not None:  # an edge that joins others: rule 10
            p = torch.round(x.double() / self.step).float() * torch.tensor(self.step / step).float()
        else:
            p = x * (1.0 / edge.step.double()).float()
        self.unit, self.step = None, step
        return torch.round(torch.clamp(p, edge.low, edge.high)) * edge.step

    def apply_book(self, conv, x, book, rows):
        def sums(q, weight):
            weight = weight.flatten(1, 3).permute(1, 2, 0)
            out = q.new_zeros(rows, weight.shape[2])
            for tap, (source, target) in enumerate(book):
                out = out.index_add(0, target, q[source] @ weight[tap])
            return out
        return self.conv(conv, x.features, sums, (-1,))

    def __enter__(self):
        self.unit = self.step = None
        flat, f = (1, -1, 1, 1), torch.nn.functional
        patches = (
            (torch.nn.Conv2d, "forward", lambda conv, x: self.conv(
                conv, x, lambda q, w: f.conv2d(q, w, None, conv.stride, conv.padding), flat)),
            (torch.nn.ConvTranspose2d, "forward", lambda conv, x: self.conv(
                conv, x, lambda q, w: f.conv_transpose2d(q, w, None, conv.stride), flat)),
            (sparse._Conv, "apply_book", lambda conv, *rest: self.apply_book(conv, *rest)),
            (qat.EdgeRounding, "forward", lambda edge, x: self.edge(edge, x)))
        self.kept = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
        for patch in patches:
            setattr(*patch)

    def __exit__(self, *_):
        for kept in self.kept:
            setattr(*kept)


class Sparse(unittest.TestCase):
    def check(self, conv, dense_conv, submanifold):
        torch.manual_seed(3)
        shape, cin = [7, 9, 8], conv.weight.shape[4]
        occupied = torch.rand(2, *shape) < 0.2
        indices = torch.nonzero(occupied)
        features = torch.randn(len(indices), cin, requires_grad=True)
        made = conv(sparse.SparseTensor(features, indices, shape, 2))
        full = torch.zeros(2, *shape, cin).index_put(tuple(indices.unbind(1)), features).permute(0, 4, 1, 2, 3)
        with torch.no_grad():
            dense_conv.weight.copy_(conv.weight.permute(0, 4, 1, 2, 3))
        wanted = dense_conv(full)
        reach = torch.nn.functional.conv3d(occupied[:, None].float(), torch.ones(1, 1, *conv.kernel),
                                           stride=dense_conv.stride, padding=dense_conv.padding)[:, 0] > 0
        self.assertTrue(torch.equal(made.indices, indices if submanifold else torch.nonzero(reach)))
        b, z, y, x = made.indices.unbind(1)
        self.assertLess(float((made.features - wanted[b, :, z, y, x]).abs().max()), 1e-5)
        pull = torch.randn_like(made.features)
        ours = torch.autograd.grad((made.features * pull).sum(), (features, conv.weight))
        theirs = torch.autograd.grad((wanted[b, :, z, y, x] * pull).sum(), (features, dense_conv.weight))
        self.assertLess(float((ours[0] - theirs[0]).abs().max()), 1e-4)
        self.assertLess(float((ours[1] - theirs[1].permute(0, 2, 3, 4, 1)).abs().max()), 1e-4)
        self.assertEqual(made.dense().shape[2:], torch.Size(made.spatial_shape))

    def test_submanifold(self):
        self.check(sparse.SubMConv3d(4, 6, 3, indice_key="k"), torch.nn.Conv3d(4, 6, 3, 1, 1, bias=False), True)

    def test_strided(self):
        for kernel, stride, padding in ((3, 2, 1), (3, 2, (0, 1, 1)), ((3, 1, 1), (2, 1, 1), 0)):
            self.check(sparse.SparseConv3d(4, 6, kernel, stride, padding),
                       torch.nn.Conv3d(4, 6, kernel, stride, padding, bias=False), False)


class Targets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pool = data.Pool("cpu")
        cls.pool.simulate(11, range(2), sweeps=1)

    def test_maps_made_from_boxes_say_those_boxes(self):
        grid = voxels.Grid()
        _, _, boxes, labels, owner = self.pool.batch([0, 1])
        heat, frame, cell, at_labels, values = targets.make_targets(boxes, labels, owner, 2, grid)
        self.assertEqual(heat.shape, (2, 10, 180, 180))
        self.assertEqual(float(heat.max()), 1.0)
        maps = torch.full((2, targets.CHANNELS, 180 * 180), -9.0)
        maps[:, targets.HM_OF] = torch.logit(heat.flatten(2) * 0.98 + 1e-4)
        for i in range(len(frame)):
            for name in values:
                first = targets.FIRST[targets.TASK_OF[at_labels[i]], name]
                maps[frame[i], first:first + values[name].shape[1], cell[i]] = values[name][i]
        maps = maps.view(2, -1, 180, 180)
        perfect, regression, _ = targets.losses(maps, (heat, frame, cell, at_labels, values))
        # Two boxes of a task in one cell share its values.
        cells = [(int(f), int(c), targets.TASK_OF[l]) for f, c, l in zip(frame, cell, at_labels)]
        if len(set(cells)) == len(cells):
            self.assertLess(float(regression), 1e-5)
        worse, _, _ = targets.losses(maps + 1.0, (heat, frame, cell, at_labels, values))
        self.assertGreater(float(worse), float(perfect))
        made_frame, made_label, score, made = targets.decode(maps, grid)
        inside = (boxes[:, :2].abs() < 54).all(1)
        found = 0
        for box, label, f in zip(boxes[inside], labels[inside], owner[inside]):
            mine = made[(made_frame == f) & (made_label == label)]
            turn = lambda a: torch.remainder(a + math.pi, 2 * math.pi) - math.pi
            off = (mine - box).abs()
            off[:, 6] = turn(mine[:, 6] - box[6]).abs()
            found += bool((off.amax(1) < 1e-3).any())
        self.assertGreater(found, 0.9 * int(inside.sum()))  # the rest: two peaks within a 3 x 3 window
        scorer = metric.Metric()
        scorer.add(0, owner[inside], labels[inside], boxes[inside], made_frame, made_label, score, made)
        self.assertGreater(scorer.result()["mAP"], 90)

    def test_radius(self):
        """A box that far off along both axes still overlaps by what is asked."""
        for length, width in ((7.7, 3.2), (18.0, 4.9), (1.2, 1.1)):
            r = float(targets.radius(torch.tensor(length), torch.tensor(width), 0.1))
            self.assertGreaterEqual(r, 2)
            if r > 2:
                both = max(length - r, 0) * max(width - r, 0)
                self.assertGreaterEqual(both / (2 * length * width - both), 0.1 - 0.02)

    def test_changed_scenes_keep_points_in_boxes(self):
        for seed in range(6):
            points, boxes, _ = self.pool.scene(0)
            before = held(points, boxes)
            points, boxes = data.augment(points, boxes, torch.Generator().manual_seed(seed))
            after = held(points, boxes)
            self.assertLessEqual(int((before - after).abs().max()), 2)  # on a face: rounding
            self.assertGreater(int(before.sum()), 500)
            driving = boxes[boxes[:, 7:9].norm(dim=1) > 1]
            turn = torch.atan2(driving[:, 8], driving[:, 7]) - driving[:, 6]
            self.assertLess(float(torch.sin(turn / 2).abs().max()), 1e-3)  # still ahead


def held(points, boxes):
    """How many points each box holds."""
    counts = []
    for box in boxes:
        d = points[:, :3] - box[:3]
        c, s = torch.cos(box[6]), torch.sin(box[6])
        u, v = d[:, 0] * c + d[:, 1] * s, d[:, 1] * c - d[:, 0] * s
        counts.append(((u.abs() < box[3] / 2) & (v.abs() < box[4] / 2) & (d[:, 2].abs() < box[5] / 2)).sum())
    return torch.stack(counts)


class Metric(unittest.TestCase):
    def test_average_precision(self):
        true, xy = numpy.zeros(2, int), numpy.array([[0.0, 0], [10, 0]])
        ap = lambda score, at, distance=1.0: metric.average_precision(
            true, xy, numpy.zeros(len(score), int), numpy.array(score), numpy.array(at), distance)
        self.assertAlmostEqual(ap([0.9, 0.8], [[0.0, 0.5], [10, 0.5]]), 1.0)
        self.assertEqual(ap([0.9], [[5.0, 0]]), 0.0)
        # One of two found: precision 1 up to recall 0.5: 40 of 90 steps of 0.9.
        self.assertAlmostEqual(ap([0.9], [[0.0, 0]]), 40 / 90)
        # The second on the same object is wrong.
        self.assertLess(ap([0.9, 0.8, 0.7], [[0.0, 0], [0, 0.1], [10, 0]]), 1.0)


class Schedule(unittest.TestCase):
    def test_one_cycle(self):
        self.assertAlmostEqual(train.one_cycle(0.0, 1e-4)[0], 1e-5)
        self.assertAlmostEqual(train.one_cycle(0.4, 1e-4)[0], 1e-4)
        self.assertAlmostEqual(train.one_cycle(1.0, 1e-4)[0], 1e-9)
        self.assertEqual([round(train.one_cycle(p, 1.0)[1], 6) for p in (0.0, 0.4, 1.0)], [0.95, 0.85, 0.95])


class Network(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network, cls.points, cls.features, cls.indices = settled(GRID)

    def test_is_the_official_one(self):
        state = self.network.state_dict()
        self.assertEqual((len(state), network.count_parameters(self.network)), (557, 8941590))
        for name, shape in (("backbone.conv4.0.weight", (128, 3, 3, 3, 64)),
                            ("backbone.conv1.1.bn2.running_var", (16,)),
                            ("backbone.extra_conv.0.weight", (128, 3, 1, 1, 128)),
                            ("neck.blocks.1.16.weight", (256, 256, 3, 3)),
                            ("neck.deblocks.1.0.weight", (256, 256, 2, 2)),
                            ("bbox_head.tasks.5.hm.3.weight", (2, 64, 3, 3)), ("bbox_head.shared_conv.0.bias", (64,))):
            self.assertEqual(tuple(state[name].shape), shape, name)

    def test_state_comes_back(self):
        small = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.BatchNorm1d(5))
        optimizer = torch.optim.AdamW(small.parameters())
        small(torch.randn(9, 7)).square().sum().backward()
        optimizer.step()
        with tempfile.TemporaryDirectory() as folder:
            files.save_state(folder, small, optimizer, {"steps": 1})
            other = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.BatchNorm1d(5))
            moments = torch.optim.AdamW(other.parameters())
            self.assertEqual(files.load_state(folder, other, moments), {"steps": 1})
            self.assertEqual(sorted(os.listdir(folder)), ["state.0.bin", "state.json"])
        for a, b in zip(small.parameters(), other.parameters()):
            self.assertLess(float((a - b).abs().max() / a.abs().max()), 2.0**-15)
            x, y = optimizer.state[a], moments.state[b]
            for key in ("exp_avg", "exp_avg_sq"):
                self.assertLess(float((x[key] - y[key]).abs().max() / x[key].abs().max()), 2.0**-7)
        self.assertLess(float((small[1].running_var - other[1].running_var).abs().max()), 1e-4)

    def test_octet_computes_the_same(self):
        """Voxels to the last bit but for float sums; every stage within float rounding; the same boxes."""
        if OCTET is None:
            self.skipTest("no octet program was named")
        config = {"range": list(GRID.limits), "voxel": list(GRID.voxel), "score_threshold": 0.05}
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            at = lambda name: os.path.join(folder, name)
            files.export(at("w.safetensors"), self.network.state_dict(), half=False)
            self.points.numpy().astype("<f4").tofile(at("a.f32x5.bin"))
            run = subprocess.run([OCTET, "run", "centerpoint", at("a.f32x5.bin"), "--weights", at("w.safetensors"),
                                  "--centerpoint", json.dumps(config), "--precision", "fp32", "--json",
                                  "--dump-stage", "heads", "--dump", at("dump.safetensors")],
                                 capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
            dump = files.read_safetensors(at("dump.safetensors"))
            said = json.loads(run.stdout)
        stages = {}
        stages["maps"] = self.network(self.features, self.indices, 1, stages)
        self.assertTrue(torch.equal(sparse.keys_of(self.indices, GRID.zyx()), dump["0.voxels.keys"]))
        bev = dump["3.bev.backbone.dense"].permute(0, 3, 1, 2)
        pairs = (("voxels", self.features, dump["0.voxels.features"], 1e-6),
                 ("conv3", stages["conv3"], dump["2.conv3.backbone.conv3.4.relu2"].view(-1, 64), 1e-4),
                 ("bev", stages["bev"], bev, 1e-4),
                 ("maps", stages["maps"], dump["4.heads.maps"].view_as(stages["maps"]), 1e-4))
        for name, ours, theirs, most in pairs:
            self.assertEqual(ours.shape, theirs.shape, name)
            off = float((ours - theirs).abs().max() / theirs.abs().max())
            print(f"{name}: {tuple(ours.shape)}, largest difference {off:.2e} of the largest value")
            self.assertLess(off, most, name)
        self.assertGreater(len(said["boxes"]), 3)
        _, labels, scores, boxes = targets.decode(stages["maps"], GRID, most=1000)
        matched = 0
        for box in said["boxes"]:  # octet's survivors of suppression: many are local maxima too
            label = network.LABELS.index(box["label"])
            near = ((boxes[:, 0] - box["x"]).abs() < 1e-2) & ((boxes[:, 1] - box["y"]).abs() < 1e-2) & (labels == label)
            if not near.any():
                continue
            matched += 1
            ours = boxes[near][0]
            self.assertAlmostEqual(float(scores[near][0]), box["score"], delta=1e-3)
            for value, key in ((ours[3], "dy"), (ours[4], "dx"), (ours[5], "dz"), (ours[2], "z")):
                self.assertAlmostEqual(float(value) / box[key], 1.0, delta=1e-2)
            turn = -box["yaw"] - math.pi / 2 - float(ours[6])
            self.assertLess(abs(math.remainder(turn, 2 * math.pi)), 1e-2)
        self.assertGreater(matched, 10)

    def octet(self, *arguments):
        run = subprocess.run([OCTET, *arguments], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def test_rounding_is_octets(self):
        """The network with rounding in its forward pass against octet's integers: equal in the encoder, and the maps
        but for the rounding of floats, so that all integers between are equal too; and again with the weights
        that a run with rounding writes."""
        if OCTET is None:
            self.skipTest("no octet program was named")
        config = json.dumps({"range": list(GRID.limits), "voxel": list(GRID.voxel)})
        rounding, points, features, indices = settled(GRID)
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            at = lambda name: os.path.join(folder, name)
            files.export(at("w.safetensors"), rounding.state_dict(), half=False)
            os.mkdir(at("frames"))
            points.numpy().astype("<f4").tofile(at("frames/a.f32x5.bin"))
            self.octet("calibrate", "centerpoint", "--weights", at("w.safetensors"), "--data", at("frames"),
                       "--centerpoint", config, "--out", at("ranges.json"))
            quantised = qat.Quantised(rounding, at("ranges.json"))
            files.export(at("q.safetensors"), quantised.official(), half=False)
            for weights in ("w.safetensors", "q.safetensors"):
                self.octet("run", "centerpoint", at("frames/a.f32x5.bin"), "--weights", at(weights), "--ranges",
                           at("ranges.json"), "--precision", "int8", "--centerpoint", config, "--json",
                           "--dump-stage", "heads", "--dump", at("dump.safetensors"))
                dump, stages = files.read_safetensors(at("dump.safetensors")), {}
                with Integers():
                    stages["maps"] = rounding(features, indices, 1, stages)
                for ours, edge, theirs in (
                        (stages["conv3"], "backbone.conv3.4.add", dump["2.conv3.backbone.conv3.4.relu2"].view(-1, 64)),
                        (stages["bev"], "backbone.extra_conv.0", dump["3.bev.backbone.dense"].permute(0, 3, 1, 2))):
                    self.assertTrue(torch.equal(torch.round(ours / quantised.step(edge)), theirs.float()), edge)
                theirs = dump["4.heads.maps"].view_as(stages["maps"])
                off = float((stages["maps"] - theirs).abs().max() / theirs.abs().max())
                print(f"{weights}: encoder equal; maps within {off:.2e} of the largest value")
                self.assertLess(off, 1e-6)
            self.assertEqual(set(quantised.official()), set(self.network.state_dict()))

    def test_gradients_pass_rounding_but_not_clipping(self):
        x = torch.tensor([0.3, -0.26, 5.0, -7.0, 1.27], requires_grad=True)
        y = qat.rounded(x, torch.tensor(0.01))
        self.assertTrue(torch.allclose(y, torch.tensor([0.3, -0.26, 1.27, -1.27, 1.27])))
        y.sum().backward()
        self.assertEqual(x.grad.tolist()[:4], [1.0, 1.0, 0.0, 0.0])


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        OCTET = sys.argv.pop(1)
    torch.set_num_threads(1)
    unittest.main(verbosity=2, warnings="ignore")
