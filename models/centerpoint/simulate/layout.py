"""Where everything stands: streets, traffic, parked cars, pavements, building sites, buildings; for a batch of frames.

Coordinates are the LiDAR's: x right, y ahead, z up, the sensor at the origin. A street has coordinates of its own: u
along it, v to its left, and its middle line v = 0. Traffic keeps to the right (v < 0 for those that drive towards +u).
All tensors are [frames, bodies]; `Bodies.alive` says which slots hold something.
"""
import math
from dataclasses import dataclass

import torch

from . import bodies as kinds
from .counter import Draws
from .worlds import TRAINING

LANE = 3.5
EGO_LENGTH, EGO_WIDTH = 4.1, 1.75  # its box reaches from 2.6 m behind the sensor to 1.5 m ahead of it
NUMBERS = 16  # uniform numbers of each body that its shape is made from


@dataclass
class Street:
    """Of each frame, [frames, 1]."""
    angle: torch.Tensor  # of +u, counter-clockwise from x
    ego_v: torch.Tensor  # where the sensor is across the street; it is at u = 0
    half: torch.Tensor  # half the carriageway's width
    pavement: torch.Tensor  # its width, each side
    lanes: torch.Tensor  # of each direction
    cross_u: torch.Tensor  # the middle of the crossing street; far away where there is none
    cross_half: torch.Tensor
    kerb: torch.Tensor  # its height

    def to_xy(self, u, v):
        c, s = torch.cos(self.angle), torch.sin(self.angle)
        v = v - self.ego_v
        return u * c - v * s, u * s + v * c

    def to_uv(self, x, y):
        """x, y: [frames, ...]"""
        shape = [len(x)] + [1] * (x.dim() - 1)
        c, s = torch.cos(self.angle).view(shape), torch.sin(self.angle).view(shape)
        return x * c + y * s, y * c - x * s + self.ego_v.view(shape)

    def paved(self, u, v):
        """Whether a place is raised by a kerb: neither on the street nor on the one that crosses it."""
        shape = [len(u)] + [1] * (u.dim() - 1)
        return (v.abs() > self.half.view(shape)) & ((u - self.cross_u.view(shape)).abs() > self.cross_half.view(shape))


@dataclass
class Bodies:
    """code, x, y, yaw, length, width, height, speed, vx, vy, z (of the middle), alive: [frames, bodies]; numbers:
    [frames, bodies, NUMBERS]. Labelled objects come before clutter."""
    code: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    yaw: torch.Tensor
    length: torch.Tensor
    width: torch.Tensor
    height: torch.Tensor
    speed: torch.Tensor
    alive: torch.Tensor
    numbers: torch.Tensor = None
    z: torch.Tensor = None

    @property
    def vx(self):
        return self.speed * torch.cos(self.yaw)

    @property
    def vy(self):
        return self.speed * torch.sin(self.yaw)


def make_street(draws, world):
    lanes = 1 + draws.below(3, 1)
    half = lanes * LANE + 2.3 * draws.chance(0.6, 1)
    own_lane = torch.minimum(draws.below(3, 1), lanes - 1)
    bend = 25 / 6 * world.bend
    angle = math.pi / 2 + draws.normal(1, deviation=world.bend).clamp(-bend, bend)
    has_cross = draws.chance(0.55, 1)
    cross_u = torch.where(has_cross, draws.uniform(1, low=-35, high=45), torch.full_like(half, 1e4))
    return Street(angle, -(own_lane + 0.5) * LANE + draws.normal(1, deviation=0.25), half,
                  draws.uniform(1, low=2.0, high=5.5), lanes, cross_u, LANE * (1 + draws.below(2, 1)) + 0.5,
                  draws.uniform(1, low=0.08, high=0.18))


class Layout:
    """Collects bodies group by group; `present` thins a group out."""

    def __init__(self, draws, street, world):
        self.draws, self.street, self.world, self.rich, self.groups = draws, street, world, world.rich, []

    def add(self, name, u, v, turn, present, speed=0.0, size=None):
        """u, v: [frames, n]; turn: the heading, counter-clockwise from +u; size: of clutter, three such tensors."""
        u = u + torch.zeros_like(v)
        x, y = self.street.to_xy(u, v)
        if size is None:
            mean, deviation = kinds.SIZES[name]
            mean = [m * f for m, f in zip(mean, self.world.sizes.get(name, (1.0, 1.0, 1.0)))]
            deviation = [d * self.world.spread for d in deviation]
            size = [m * torch.exp(self.draws.normal(*u.shape[1:], deviation=d).clamp(-2 * d, 2 * d))
                    for m, d in zip(mean, deviation)]
        full = lambda t: (t + torch.zeros_like(u)) if torch.is_tensor(t) else torch.full_like(u, t)
        self.groups.append(Bodies(torch.full(u.shape, kinds.CODE[name], device=u.device), x, y,
                                  full(turn) + self.street.angle, *(full(s) for s in size), full(speed), present))

    def traffic(self):
        """Along the lanes, in both directions, and on the crossing street."""
        d, s, n = self.draws, self.street, 26
        lane = torch.minimum(d.below(3, n), s.lanes - 1)
        ahead = d.chance(0.55, n)
        side = torch.where(ahead, -1.0, 1.0)
        u = d.uniform(n, low=-58, high=58)
        queue = d.chance(0.25, 1)  # a red light: everybody stands
        pace = d.normal(n, mean=8, deviation=3).clamp(1, 16)
        speed = torch.where(queue | d.chance(0.12, n), torch.zeros_like(u), pace)
        v = side * (lane + 0.5) * LANE + d.normal(n, deviation=0.2)
        turn = torch.where(ahead, 0.0, math.pi) + d.normal(n, deviation=0.03)
        busy = d.uniform(1, low=0.25, high=1.0)
        groups = (("car", 0, 12, busy), ("truck", 12, 16, 0.30 + 0.15 * self.rich), ("bus", 16, 18, 0.3),
                  ("trailer", 18, 20, 0.25), ("motorcycle", 20, 22, 0.25), ("bicycle", 22, 24, 0.2))
        for name, a, b, p in groups:
            present = d.uniform(b - a) < p
            self.add(name, u[:, a:b], v[:, a:b], turn[:, a:b], present, self._ridden(name, speed[:, a:b]))
        n = 6
        far = d.uniform(n, low=-50, high=50)
        ahead = d.sign(n)
        across = s.cross_u + ahead * LANE / 2
        turn = torch.where(ahead > 0, math.pi / 2, -math.pi / 2) + d.normal(n, deviation=0.03)
        self.add("car", across, far, turn, (s.cross_u < 1e3) & (d.uniform(n) < busy * 0.8),
                 torch.where(queue, 7.0, 0.0) * d.uniform(n, low=0.5, high=1.3))

    def _ridden(self, name, speed):
        if name not in ("motorcycle", "bicycle"):
            return speed
        pace = 8.0 if name == "motorcycle" else 4.0
        return pace * self.draws.uniform(*speed.shape[1:], low=0.5, high=1.4)

    def parked(self):
        """Along both kerbs, and in rows of a car park beside the street."""
        d, s, n = self.draws, self.street, 20
        slot = torch.arange(n, device=s.half.device) // 2 * 6.6 - 31.0
        side = torch.where(torch.arange(n, device=s.half.device) % 2 == 0, 1.0, -1.0)
        u = slot + d.normal(n, deviation=0.5)
        v = side * (s.half - 1.15) + d.normal(n, deviation=0.12)
        turn = torch.where(side > 0, math.pi, 0.0) + d.normal(n, deviation=0.04)
        full = (s.half > s.lanes * LANE + 1) & (d.uniform(n) < d.uniform(1, low=0.1, high=0.9))
        truck, cv = d.chance(0.06, n), d.chance(0.02 + 0.02 * self.rich, n)
        for name, here in (("car", ~truck & ~cv), ("truck", truck), ("construction_vehicle", cv)):
            self.add(name, u, v, turn, full & here)
        n, side = 16, d.sign(1)
        row, column = torch.arange(n, device=u.device) // 8, torch.arange(n, device=u.device) % 8
        u = d.uniform(1, low=-35, high=15) + column * 2.75 + d.normal(n, deviation=0.1)
        v = side * (s.half + s.pavement + 4.0 + row * 5.6) + d.normal(n, deviation=0.2)
        turn = torch.where(d.chance(0.5, n), math.pi / 2, -math.pi / 2) + d.normal(n, deviation=0.04)
        lot = d.chance(0.3, 1)
        self.lot_side = torch.where(lot, side, torch.zeros_like(side))
        self.add("car", u, v, turn, lot & d.chance(0.6, n))
        for name, p in (("trailer", 0.12), ("bus", 0.12), ("truck", 0.15)):
            u, side = d.uniform(2, low=-45, high=45), d.sign(2)
            self.add(name, u, side * (s.half + s.pavement + d.uniform(2, low=2, high=9)),
                     d.uniform(2, high=2 * math.pi), d.uniform(2) < p + 0.12 * self.rich)

    def people(self):
        """On pavements, alone and in groups, crossing the street, and their bicycles and motorcycles."""
        d, s, n = self.draws, self.street, 22
        crowd = d.uniform(1, low=0.05, high=0.8)
        group = torch.arange(n, device=s.half.device) // 3
        middle_u, middle_v = d.uniform(8, low=-45, high=45)[:, group], d.uniform(8)[:, group]
        alone = d.chance(0.5, n)
        u = torch.where(alone, d.uniform(n, low=-50, high=50), middle_u + d.normal(n, deviation=0.9))
        across = torch.where(alone, d.uniform(n), middle_v + d.normal(n, deviation=0.15))
        v = d.sign(8)[:, group] * (s.half + 0.4 + across.clamp(0, 1.6) * s.pavement)
        still = d.chance(0.35, n)
        turn = torch.where(still, d.uniform(n, high=2 * math.pi), torch.where(d.chance(0.5, n), 0.0, math.pi)
                           + d.normal(n, deviation=0.25))
        pace = torch.where(still, torch.zeros_like(u), d.normal(n, mean=1.3, deviation=0.3).clamp(0.4, 2.5))
        self.add("pedestrian", u, v, turn, d.uniform(n) < crowd, pace)
        n = 5
        self.add("pedestrian", d.uniform(n, low=-35, high=35), d.uniform(n, low=-1, high=1) * s.half,
                 d.sign(n) * math.pi / 2 + d.normal(n, deviation=0.2), d.uniform(n) < 0.5 * crowd,
                 d.normal(n, mean=1.4, deviation=0.3).clamp(0.5, 2.5))
        for name, n, p in (("bicycle", 4, 0.22), ("motorcycle", 4, 0.2)):
            self.add(name, d.uniform(n, low=-40, high=40), d.sign(n) * (s.half + d.uniform(n, low=-0.8, high=3.0)),
                     d.uniform(n, high=2 * math.pi), d.uniform(n) < p + 0.1 * self.rich)

    def building_site(self):
        """Barriers and cones in rows, machines behind them, workers among them."""
        d, s = self.draws, self.street
        site = d.chance(0.45 + 0.15 * self.rich, 1)
        u0, side = d.uniform(1, low=-30, high=35), d.sign(1)
        for rows in range(3):
            n = 8
            step = torch.arange(n, device=u0.device)
            slant = d.normal(1, deviation=0.12) + math.pi / 2 * d.chance(0.15, 1)
            start, gap = u0 + d.uniform(1, low=-22, high=10), 2.62 + d.uniform(1, high=0.6) * d.chance(0.4, 1)
            v0 = side * (s.half + d.uniform(1, low=-3.5, high=1.5))
            present = site & d.chance(0.6, 1) & (step < 3 + d.below(6, 1)) & d.chance(0.93, n)
            self.add("barrier", start + step * gap * torch.cos(slant), v0 + step * gap * torch.sin(slant),
                     slant + math.pi / 2 + d.normal(n, deviation=0.06), present)
        n = 14
        step, row = torch.arange(n, device=u0.device) % 7, torch.arange(n, device=u0.device) // 7
        slant = d.normal(2, deviation=0.15)[:, row]
        start, v0 = u0 + d.uniform(2, low=-25, high=12)[:, row], side * (s.half - d.uniform(2, low=0, high=4)[:, row])
        self.add("traffic_cone", start + step * 2.4 + d.normal(n, deviation=0.3),
                 v0 + step * 2.4 * torch.sin(slant) + d.normal(n, deviation=0.12), d.uniform(n, high=2 * math.pi),
                 (site & d.chance(0.7, 2)[:, row] & d.chance(0.85, n)) | d.chance(0.03, n))
        n = 3
        self.add("construction_vehicle", u0 + d.uniform(n, low=-15, high=15),
                 side * (s.half + d.uniform(n, low=-1, high=9)), d.uniform(n, high=2 * math.pi),
                 site & d.chance(0.42, n))
        self.add("pedestrian", u0 + d.uniform(n, low=-15, high=15), side * (s.half + d.uniform(n, low=-2, high=5)),
                 d.uniform(n, high=2 * math.pi), site & d.chance(0.4, n))

    def clutter(self):
        """What a detector must not take for an object."""
        d, s = self.draws, self.street
        edge = s.half + s.pavement
        size = lambda n, *spans: [d.uniform(n, low=a, high=b) for a, b in spans]
        n = 12
        for side in (-1.0, 1.0):
            u = (torch.arange(n, device=edge.device) - n / 2 + 0.5) * 15.0
            length, depth, height = size(n, (6, 14.6), (5, 10), (3, 16))
            setback = d.uniform(1, low=0.3, high=12) + d.uniform(n, high=2) + 14 * (self.lot_side == side)
            clear = (u - s.cross_u).abs() > s.cross_half + length / 2 + 1.5
            self.add("building", u, side * (edge + setback + depth / 2), d.normal(n, deviation=0.02),
                     clear & (d.uniform(n) < d.uniform(1, low=0.45, high=1)), size=(length, depth, height))
            behind = edge + setback + depth + d.uniform(n, low=9, high=22)
            self.add("building", u + d.normal(n, deviation=3), side * behind,
                     d.normal(n, deviation=0.1), d.chance(0.5, n), size=size(n, (8, 18), (5, 9), (5, 22)))
        for name, n, p, low, high, spans in (
                ("fence", 5, 0.4, 0.3, 6.0, ((5, 18), (0.06, 0.12), (0.8, 2.2))),
                ("pole", 12, 0.7, 0.2, 0.9, ((0.12, 0.34),) * 2 + ((2.8, 8.5),)),
                ("sign", 6, 0.6, 0.2, 1.2, ((0.1, 0.14), (0.5, 0.9), (2.0, 3.4))),
                ("tree", 26, 0.75, 0.5, 22.0, ((0.2, 0.6),) * 2 + ((4.0, 13.0),)),
                ("bush", 16, 0.6, 1.0, 12.0, ((0.6, 2.6), (0.5, 1.8), (0.5, 2.0))),
                ("hedge", 4, 0.4, 1.5, 7.0, ((2.5, 9.0), (0.6, 1.6), (0.8, 1.9))),
                ("box", 9, 0.5, 0.2, 6.0, ((0.4, 2.4), (0.4, 1.6), (0.5, 1.9))),
                ("bollard", 8, 0.5, 0.2, 1.5, ((0.12, 0.3),) * 2 + ((0.5, 1.3),))):
            u, v = d.uniform(n, low=-52, high=52), d.sign(n) * (s.half + d.uniform(n, low=low, high=high))
            length, width, height = size(n, *self.world.clutter_spans.get(name, spans))
            along = d.normal(n, deviation=0.08) + (math.pi / 2) * d.chance(0.2, n)
            clear = (u - s.cross_u).abs() > s.cross_half + 0.5
            p *= self.world.clutter
            self.add(name, u, v, along, clear & (d.uniform(n) < p * d.uniform(1, low=0.4, high=1.4)),
                     size=(length, width, height))


def overlaps(b, margin=0.1):
    """[frames, i, j]: whether the footprints of bodies i and j overlap (separating axes of two rectangles)."""
    c, s = torch.cos(b.yaw), torch.sin(b.yaw)
    length, width = b.length / 2 + margin, b.width / 2 + margin
    dx, dy = b.x[:, :, None] - b.x[:, None, :], b.y[:, :, None] - b.y[:, None, :]
    ci, si, cj, sj = c[:, :, None], s[:, :, None], c[:, None, :], s[:, None, :]
    parallel, crossed = (ci * cj + si * sj).abs(), (si * cj - ci * sj).abs()
    li, wi, lj, wj = length[:, :, None], width[:, :, None], length[:, None, :], width[:, None, :]
    apart = (dx * ci + dy * si).abs() > li + lj * parallel + wj * crossed
    apart |= (dy * ci - dx * si).abs() > wi + lj * crossed + wj * parallel
    apart |= (dx * cj + dy * sj).abs() > lj + li * parallel + wi * crossed
    apart |= (dy * cj - dx * sj).abs() > wj + li * crossed + wi * parallel
    return ~apart


def make_layout(keys, world=TRAINING):
    """Street, Bodies (without z) and Draws of each key."""
    draws = Draws(keys)
    street = make_street(draws, world)
    layout = Layout(draws, street, world)
    ego = torch.zeros(len(keys), 1, device=keys.device)
    zero = Bodies(torch.full_like(ego, kinds.CODE["ego"], dtype=torch.int64), ego, ego - 0.55, ego + math.pi / 2,
                  ego + EGO_LENGTH, ego + EGO_WIDTH, ego + 1.5, ego, ego == 0)
    layout.building_site()
    layout.traffic()
    layout.parked()
    layout.people()
    layout.clutter()
    groups = [zero] + layout.groups
    joined = Bodies(*(torch.cat([getattr(g, f) for g in groups], 1) for f in
                      ("code", "x", "y", "yaw", "length", "width", "height", "speed", "alive")))
    # A body gives way to those before it (but not to the absent): the labelled come first, the vehicle before all.
    hit = overlaps(joined) & joined.alive[:, None, :]
    hit &= torch.ones_like(hit[0]).tril(-1)
    joined.alive = joined.alive & ~hit.any(2)
    joined.numbers = draws.uniform(joined.x.shape[1], NUMBERS)
    if world.mixture != 1.0:
        joined.numbers = joined.numbers ** world.mixture
    return street, joined, draws
