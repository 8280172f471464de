"""Frames: points and true boxes of a batch of scenes."""
import json
import math
import os
from dataclasses import dataclass

import torch

from . import bodies as kinds
from .counter import frame_keys, mix, unit
from .layout import LANE, make_layout
from .parts import join
from .sensor import BEAMS, CLOSE, COLUMNS, HEIGHT, PERIOD, make_beams, make_ground, scan
from .shapes import build
from .worlds import TRAINING

MOST_DISTANT = 65.0  # metres from the sensor; boxes farther out are not annotated


@dataclass
class Batch:
    """Points of all frames, one frame after another, newest sweep first: points [n, 5] x, y, z, intensity, time lag;
    frame [n]. Boxes likewise: box_frame [m], label [m] (index in CLASSES), box [m, 7] x, y, z, length, width, height,
    yaw; velocity [m, 2]; count [m]: points of the newest sweep on the object; in_lane [m]: where traffic is.
    For tests: body [n], box_body [m] (index in its frame), surface [n, 3] (the point without noise)."""
    points: torch.Tensor
    frame: torch.Tensor
    box_frame: torch.Tensor
    label: torch.Tensor
    box: torch.Tensor
    velocity: torch.Tensor
    count: torch.Tensor
    in_lane: torch.Tensor
    body: torch.Tensor
    box_body: torch.Tensor
    surface: torch.Tensor
    frames: int


def _simulate(keys, sweeps, world):
    street, bodies, draws = make_layout(keys, world)
    ground = make_ground(draws)
    lift = street.paved(*street.to_uv(bodies.x, bodies.y)) * street.kerb
    bodies.z = ground.height(bodies.x, bodies.y) + lift + bodies.height / 2
    pieces = join(build(bodies))
    beams = make_beams(draws, ground, sweeps)
    # The vehicle is where the sensor is in every sweep.
    is_ego = bodies.code[pieces.frame, pieces.body] == kinds.CODE["ego"]
    speed = torch.zeros_like(pieces.velocity)
    if sweeps > 1:
        speed = ((beams.origin[:, 0] - beams.origin[:, 1]) / PERIOD)[pieces.frame, :2]
    pieces.velocity = torch.where(is_ego[:, None], speed, pieces.velocity)
    return street, ground, bodies, pieces, beams


def _points(keys, bodies, returns, beams):
    """Points that are kept, and of which ray each is."""
    frames, sweeps, tall, columns = beams.shape()
    lag = beams.lag.view(1, -1, 1, 1).expand(frames, sweeps, tall, columns).flatten()
    frame = torch.arange(frames, device=lag.device).view(-1, 1, 1, 1).expand(frames, sweeps, tall, columns).flatten()
    point, newest = returns.point, lag == 0
    # A ray that nothing answers leaves a point at the sensor itself, as in nuScenes' files; so does the own roof.
    ray = torch.arange(len(lag), device=lag.device) % (sweeps * tall * columns)
    chance = unit(mix(mix(keys + 0xC105E)[frame] + ray))
    own = (returns.body >= 0) & (bodies.code[frame, returns.body.clamp(min=0)] == kinds.CODE["ego"])
    silent = newest & ~returns.seen
    stub = 0.4 * chance[:, None] ** 2 * torch.nn.functional.normalize(beams.directions().view(-1, 3), dim=1)
    point = torch.where(silent[:, None], stub, point)
    close = (point[:, :2].abs() < CLOSE).all(1)
    keep = torch.nonzero((returns.seen & ~(own & ~newest) & ~(close & ~newest)) | silent).flatten()
    intensity = torch.where(silent, torch.floor(chance * 30), returns.intensity)
    points = torch.cat((point, intensity[:, None], lag[:, None]), 1)[keep]
    body = torch.where(silent, torch.full_like(returns.body, -1), returns.body)
    return points, frame[keep], body[keep], returns.surface[keep]


def simulate(seed, frames, device="cpu", sweeps=10, world=TRAINING):
    """The frames of these numbers: a Batch on `device`. Memory: about 250 MB a frame of ten sweeps at its peak."""
    keys = frame_keys(seed, frames, device)
    street, ground, bodies, pieces, beams = _simulate(keys, sweeps, world)
    returns = scan(keys, street, ground, pieces, beams, world)
    points, frame, body, surface = _points(keys, bodies, returns, beams)
    slots = bodies.code.shape[1]
    on_body = torch.zeros(len(keys) * slots, dtype=torch.int64, device=points.device)
    mine = (body >= 0) & (points[:, 4] == 0)
    on_body.index_add_(0, (frame * slots + body)[mine], torch.ones_like(body[mine]))
    labelled = bodies.alive & (bodies.code < len(kinds.CLASSES))
    labelled &= torch.hypot(bodies.x, bodies.y) < MOST_DISTANT
    box_frame, slot = torch.nonzero(labelled, as_tuple=True)
    fields = (bodies.x, bodies.y, bodies.z, bodies.length, bodies.width, bodies.height, bodies.yaw)
    box = torch.stack([f[labelled] for f in fields], 1)
    u, v = street.to_uv(bodies.x, bodies.y)
    in_lane = (v.abs() < street.lanes * LANE) | ((u - street.cross_u).abs() < street.cross_half)
    box[:, 6] = torch.remainder(box[:, 6] + torch.pi, 2 * torch.pi) - torch.pi
    return Batch(points, frame, box_frame, bodies.code[labelled], box,
                 torch.stack((bodies.vx[labelled], bodies.vy[labelled]), 1), on_body.view(-1, slots)[box_frame, slot],
                 in_lane[labelled], body, slot, surface, len(keys))


def annotations(batch, index):
    """What FRAME.annotations.json holds: the format that octet reads, in nuScenes' terms."""
    instances = []
    mine = torch.nonzero(batch.box_frame == index).flatten().tolist()
    for i in mine:
        name = kinds.CLASSES[int(batch.label[i])]
        velocity = [round(v, 4) for v in batch.velocity[i].tolist()]
        instances.append({
            "class": name, "box": [round(v, 4) for v in batch.box[i].tolist()], "velocity": velocity,
            "num_lidar_pts": int(batch.count[i]), "valid": int(batch.count[i]) > 0,
            "attribute": kinds.attribute(name, math.hypot(*velocity), bool(batch.in_lane[i]))})
    # x of the vehicle is ahead, y to the left; the sensor is 0.94 m ahead of its rear axle.
    to_ego = [[0.0, 1.0, 0.0, 0.94], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, HEIGHT], [0.0, 0.0, 0.0, 1.0]]
    same = [[1.0 if i == j else 0.0 for j in range(4)] for i in range(4)]
    return {"frame": "LIDAR_TOP", "source": "simulated",
            "box_format": "x,y,z (box centre), l, w, h, yaw (lidar frame)", "lidar2ego": to_ego, "ego2global": same,
            "instances": instances}


def write(batch, names):
    """NAME.f32x5.bin and NAME.annotations.json for each frame; each file appears complete or not at all."""
    for index, name in enumerate(names):
        points = batch.points[batch.frame == index].cpu().contiguous().numpy().astype("<f4")
        text = json.dumps(annotations(batch, index), indent=1) + "\n"
        for path, data in ((name + ".annotations.json", text.encode()), (name + ".f32x5.bin", points.tobytes())):
            with open(path + ".tmp", "wb") as f:
                f.write(data)
            os.replace(path + ".tmp", path)


RAYS_A_SWEEP = BEAMS * COLUMNS
