"""Training scenes: simulated frames kept packed in the device's memory, drawn at random and turned into others.

A point is packed into 8 bytes (position in steps of 2 mm, intensity, sweep): the 270,000 points of a frame take 2.2 MB,
and 139 GiB hold sixty thousand frames. Flips, a rotation, a scale and a shift make a new scene of each. (Pasting
objects from one frame into another, which real data needs for its rare classes, has no use here: the simulator places
them more often, with everything that they hide; --rich.)
"""
import math

import torch

from ..simulate import bodies, frames
from ..simulate.sensor import PERIOD
from ..simulate.worlds import TRAINING
from .network import LABELS

STEP = 0.002  # metres; int16 reaches 65.5 m
TO_LABEL = [LABELS.index(name) for name in bodies.CLASSES]


class Pool:
    def __init__(self, device):
        self.device, self.position, self.other, self.boxes, self.labels = device, [], [], [], []

    def __len__(self):
        return len(self.position)

    def add(self, batch):
        """All frames of a simulated Batch. Objects that the newest sweep does not see are no boxes."""
        kept = (batch.points[:, :2].abs() < 65).all(1) & (batch.points[:, 2].abs() < 65)
        position = torch.round(batch.points[:, :3] / STEP).to(torch.int16)
        other = torch.stack((batch.points[:, 3], torch.round(batch.points[:, 4] / PERIOD)), 1).to(torch.uint8)
        table = torch.tensor(TO_LABEL, device=batch.label.device)
        boxes = torch.cat((batch.box, batch.velocity), 1)
        for k in range(batch.frames):
            mine = torch.nonzero(kept & (batch.frame == k)).flatten()
            seen = (batch.box_frame == k) & (batch.count > 0)
            self.position.append(position[mine].to(self.device))
            self.other.append(other[mine].to(self.device))
            self.boxes.append(boxes[seen].to(self.device))
            self.labels.append(table[batch.label[seen]].to(self.device))

    def simulate(self, seed, numbers, sweeps=10, world=TRAINING, batch=32, until=None):
        """Adds frames; stops when `until()` says so."""
        numbers = list(numbers)
        for i in range(0, len(numbers), batch):
            if until is not None and until():
                return
            self.add(frames.simulate(seed, numbers[i:i + batch], self.device, sweeps, world))

    def scene(self, k):
        """points [n, 5], boxes [m, 9], labels [m]"""
        points = torch.cat((self.position[k].float() * STEP, self.other[k].float()), 1)
        points[:, 4] *= PERIOD
        return points, self.boxes[k], self.labels[k]

    def batch(self, chosen, random=None):
        """Scenes of these numbers as points, frame, boxes, labels, frame of each box; changed when `random`, a
        torch.Generator (on the CPU), is given."""
        lists = [[], [], [], [], []]
        for i, k in enumerate(chosen):
            points, boxes, labels = self.scene(k)
            if random is not None:
                points, boxes = augment(points, boxes, random)
            here = lambda like: torch.full((len(like),), i, dtype=torch.int64, device=self.device)
            for where, what in zip(lists, (points, here(points), boxes, labels, here(boxes))):
                where.append(what)
        return [torch.cat(parts) for parts in lists]


def augment(points, boxes, random):
    """The official ranges: flips of x and y, a turn by up to pi / 8, a scale of 0.95 to 1.05, shifts of 0.5 m."""
    u = torch.rand(4, generator=random).tolist()
    shift = (0.5 * torch.randn(3, generator=random)).tolist()
    turn, scale = (2 * u[2] - 1) * math.pi / 8, 0.95 + 0.1 * u[3]
    flip_x, flip_y = (-1.0 if v < 0.5 else 1.0 for v in u[:2])
    c, s = scale * math.cos(turn), scale * math.sin(turn)

    def moved(xy, by=(0.0, 0.0)):  # (no matrix product: GPUs may round its factors to 10 bits)
        x, y = xy[:, 0] * flip_x, xy[:, 1] * flip_y
        return torch.stack((x * c - y * s + by[0], x * s + y * c + by[1]), 1)

    heading = math.pi - boxes[:, 6] if flip_x < 0 else boxes[:, 6]
    boxes = torch.cat((moved(boxes[:, :2], shift), boxes[:, 2:3] * scale + shift[2], boxes[:, 3:6] * scale,
                       (heading * flip_y + turn)[:, None], moved(boxes[:, 7:9])), 1)
    points = torch.cat((moved(points[:, :2], shift), points[:, 2:3] * scale + shift[2], points[:, 3:]), 1)
    return points, boxes
