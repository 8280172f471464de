"""Which piece each ray of the sensor meets first.

A piece is seen through a small window of columns (azimuths) and beams; only the pairs of a piece and the rays of its
window are computed: about two pairs a ray, where all pairs would be hundreds. The pairs of all frames and sweeps of a
batch form one long list, each kind of piece a stretch of it; a minimum over int64 keys (distance's bits above, number
of the pair below) leaves each ray its nearest pair.
"""
import math
import warnings
from dataclasses import dataclass

import torch

from .counter import mix, unit
from .parts import CAPSULE, ELLIPSOID, FRUSTUM, POLYTOPE

warnings.filterwarnings("ignore", message="scatter_reduce")  # PyTorch 1.13: "in beta"

FAR = 1e6
NONE = torch.iinfo(torch.int64).max


@dataclass
class Beams:
    """Where rays go. Ray number = ((frame * sweeps + sweep) * beams + beam) * columns + column."""
    origin: torch.Tensor  # [frames, sweeps, 3]
    phase: torch.Tensor  # [frames, sweeps]: azimuth of column 0
    elevation: torch.Tensor  # [beams], evenly spaced, ascending
    lag: torch.Tensor  # [sweeps], seconds
    columns: int

    def shape(self):
        return self.origin.shape[0], self.origin.shape[1], len(self.elevation), self.columns

    def directions(self):
        """[frames, sweeps, beams, columns, 3]"""
        step = 2 * math.pi / self.columns
        azimuth = self.phase[..., None] + step * torch.arange(self.columns, device=self.phase.device)
        c, s = torch.cos(self.elevation), torch.sin(self.elevation)
        flat = torch.stack((torch.cos(azimuth), torch.sin(azimuth)), -1)[:, :, None] * c[:, None, None]
        up = s[:, None].expand(*self.phase.shape, -1, self.columns)
        return torch.cat((flat, up[..., None]), -1)


def windows(pieces, beams):
    """First column, columns, first beam, beams of each piece in each sweep: int64 [pieces, sweeps] each."""
    p = pieces
    origin = beams.origin[p.frame]  # [pieces, sweeps, 3]
    moved = p.centre[:, None, :].repeat(1, origin.shape[1], 1)
    moved[..., :2] -= p.velocity[:, None, :] * beams.lag[None, :, None]
    d = moved - origin
    c, s = torch.cos(p.yaw)[:, None], torch.sin(p.yaw)[:, None]
    middle = torch.atan2(d[..., 1], d[..., 0])
    # The corners of its rectangle, seen from above: their spread around the middle's azimuth, nearest and farthest.
    spread, farthest = [], torch.zeros_like(middle)
    for a in (-1, 1):
        for b in (-1, 1):
            x, y = a * p.bound[:, :1], b * p.bound[:, 1:2]
            cx, cy = d[..., 0] + x * c - y * s, d[..., 1] + x * s + y * c
            turn = torch.atan2(cy, cx) - middle
            spread.append(torch.remainder(turn + math.pi, 2 * math.pi) - math.pi)
            farthest = torch.maximum(farthest, torch.hypot(cx, cy))
    local_x, local_y = d[..., 0] * c + d[..., 1] * s, d[..., 1] * c - d[..., 0] * s
    nearest = torch.hypot((local_x.abs() - p.bound[:, :1]).clamp(min=0), (local_y.abs() - p.bound[:, 1:2]).clamp(min=0))
    inside = nearest < 1e-3
    spread = torch.stack(spread)
    first, last = middle + spread.amin(0), middle + spread.amax(0)
    step = 2 * math.pi / beams.columns
    first = torch.ceil((first - beams.phase[p.frame]) / step - 0.01).long()
    count = torch.floor((last - beams.phase[p.frame]) / step + 0.01).long() - first + 1
    first = torch.where(inside, torch.zeros_like(first), first)
    count = torch.where(inside, torch.full_like(count, beams.columns), count.clamp(0, beams.columns))
    rise = (beams.elevation[-1] - beams.elevation[0]) / (len(beams.elevation) - 1)
    near = nearest.clamp(min=1e-3)
    bottom, top = d[..., 2] - p.bound[:, 2:], d[..., 2] + p.bound[:, 2:]
    low = torch.atan2(bottom, torch.where(bottom < 0, near, farthest))
    high = torch.atan2(top, torch.where(top > 0, near, farthest))
    first_beam = torch.ceil((low - beams.elevation[0]) / rise - 0.01).long().clamp(min=0)
    last_beam = torch.floor((high - beams.elevation[0]) / rise + 0.01).long().clamp(max=len(beams.elevation) - 1)
    return first, count, first_beam, (last_beam - first_beam + 1).clamp(min=0)


def pairs_of(pieces, beams):
    """Piece, sweep, beam and column of every pair: int64 [pairs]."""
    first, columns, first_beam, tall = windows(pieces, beams)
    sweeps = first.shape[1]
    count = (columns * tall).flatten()
    row = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    within = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    wide = columns.flatten()[row]
    column = torch.remainder(first.flatten()[row] + within % wide, beams.columns)
    beam = first_beam.flatten()[row] + torch.div(within, wide, rounding_mode="floor")
    return row // sweeps, row % sweeps, beam, column


def _safe(x):
    return torch.where(x.abs() < 1e-9, torch.full_like(x, 1e-9), x)


def _polytope(o, d, half, extra):
    front, back, side = extra.unbind(1)
    zero, one = torch.zeros_like(front), torch.ones_like(front)
    planes = ((one, zero, front, half[:, 0]), (-one, zero, back, half[:, 0]), (zero, one, side, half[:, 1]),
              (zero, -one, side, half[:, 1]), (zero, zero, one, half[:, 2]), (zero, zero, -one, half[:, 2]))
    enter, leave, cosine = torch.full_like(front, -FAR), torch.full_like(front, FAR), zero
    for nx, ny, nz, limit in planes:
        towards = _safe(nx * d[:, 0] + ny * d[:, 1] + nz * d[:, 2])
        t = (limit - nx * o[:, 0] - ny * o[:, 1] - nz * o[:, 2]) / towards
        later = (towards < 0) & (t > enter)
        cosine = torch.where(later, -towards / torch.sqrt(nx * nx + ny * ny + nz * nz), cosine)
        enter = torch.where(later, t, enter)
        leave = torch.where(towards > 0, torch.minimum(leave, t), leave)
    return enter, leave, cosine


def _ellipsoid(o, d, half, _):
    o, e = o / half, d / half
    a, b, c = (e * e).sum(1), (o * e).sum(1), (o * o).sum(1) - 1
    root = b * b - a * c
    s = torch.sqrt(root.clamp(min=0))
    enter, leave = (-b - s) / a, (-b + s) / a
    normal = (o + enter[:, None] * e) / half
    cosine = (normal * d).sum(1).abs() / normal.norm(dim=1).clamp(min=1e-9)
    return torch.where(root > 0, enter, torch.full_like(enter, FAR)), leave, cosine


def _frustum(o, d, half, extra):
    hz = half[:, 2]
    slope = (extra[:, 0] - 1) / (2 * hz)
    k = (1 + extra[:, 0]) / 2 + slope * o[:, 2]  # at the ray's origin
    ox, oy, ex, ey, ez = o[:, 0] / half[:, 0], o[:, 1] / half[:, 1], d[:, 0] / half[:, 0], d[:, 1] / half[:, 1], d[:, 2]
    kz = slope * ez
    a = _safe(ex * ex + ey * ey - kz * kz)
    b = ox * ex + oy * ey - k * kz
    root = b * b - a * (ox * ox + oy * oy - k * k)
    side = (-b - torch.sqrt(root.clamp(min=0))) / a
    good = (root > 0) & ((o[:, 2] + side * ez).abs() <= hz) & (k + side * kz > 0)
    px, py, pk = ox + side * ex, oy + side * ey, k + side * kz
    nx, ny, nz = px / half[:, 0], py / half[:, 1], -pk * slope
    cosine = (nx * d[:, 0] + ny * d[:, 1] + nz * ez).abs() / torch.sqrt(nx * nx + ny * ny + nz * nz).clamp(min=1e-9)
    side = torch.where(good, side, torch.full_like(side, FAR))
    ez_safe = _safe(ez)
    cap = (-torch.sign(ez_safe) * hz - o[:, 2]) / ez_safe
    capped = (ox + cap * ex) ** 2 + (oy + cap * ey) ** 2 <= (k + cap * kz) ** 2
    nearer = capped & (cap > 0) & (cap < side)
    enter = torch.where(nearer, cap, side)
    return enter, enter, torch.where(nearer, ez.abs(), cosine)


def _capsule(o, d, half, _):
    radius, hz = half[:, 0], half[:, 2]
    a = _safe(d[:, 0] ** 2 + d[:, 1] ** 2)
    b = o[:, 0] * d[:, 0] + o[:, 1] * d[:, 1]
    root = b * b - a * (o[:, 0] ** 2 + o[:, 1] ** 2 - radius**2)
    t = (-b - torch.sqrt(root.clamp(min=0))) / a
    z = o[:, 2] + t * d[:, 2]
    on_side = (root > 0) & (z.abs() <= hz)
    best = torch.where(on_side, t, torch.full_like(t, FAR))
    for end in (-hz, hz):
        oz = o[:, 2] - end
        b = o[:, 0] * d[:, 0] + o[:, 1] * d[:, 1] + oz * d[:, 2]
        root = b * b - (o[:, 0] ** 2 + o[:, 1] ** 2 + oz * oz - radius**2)
        t = -b - torch.sqrt(root.clamp(min=0))
        best = torch.where((root > 0) & (t > 0) & (t < best), t, best)
    p = o + best[:, None] * d
    on_axis = torch.maximum(torch.minimum(p[:, 2], hz), -hz)
    normal = torch.stack((p[:, 0], p[:, 1], p[:, 2] - on_axis), 1)
    return best, best, (normal * d).sum(1).abs() / radius


SURFACES = {POLYTOPE: _polytope, ELLIPSOID: _ellipsoid, FRUSTUM: _frustum, CAPSULE: _capsule}


@dataclass
class Hits:
    """Of each ray, flat: distance (FAR: none), cosine of incidence, and the piece it met (-1)."""
    distance: torch.Tensor
    cosine: torch.Tensor
    piece: torch.Tensor


def meet(pieces, index, beams, directions, sweep, ray, keys):
    """Distance and cosine of the pairs of one kind; FAR where they do not meet."""
    p = pieces.where(index)
    d = directions[ray]
    o = beams.origin[p.frame, sweep] - p.centre
    o[:, :2] += p.velocity * beams.lag[sweep][:, None]
    o, d = ((p.rotation * v[:, :, None]).sum(1) for v in (o, d))
    enter, leave, cosine = SURFACES[int(p.kind[0])](o, d, p.half, p.extra)
    rays_a_frame = len(directions) // len(keys)
    chance = mix(mix(keys[p.frame] + ray % rays_a_frame) + p.body * 256 + p.number)
    into = -torch.log(unit(chance) + 1e-7) * p.depth
    reached = (enter > 0) & (enter < FAR) & (enter <= leave) & (enter + into <= leave.where(p.depth > 0, enter + into))
    reached &= unit(mix(chance)) >= p.through
    return torch.where(reached, enter + into, torch.full_like(enter, FAR)), cosine.clamp(max=1)


def cast(pieces, beams, keys):
    """Hits of all rays of a batch; keys [frames] decide which rays windows and leaves let through."""
    directions = beams.directions().view(-1, 3)
    _, sweeps, tall, columns = beams.shape()
    nearest = torch.full((len(directions),), NONE, dtype=torch.int64, device=directions.device)
    found, cosines, before = [], [], 0
    for kind in SURFACES:
        chosen = torch.nonzero(pieces.kind == kind).flatten()
        if not len(chosen):
            continue
        index, sweep, beam, column = pairs_of(pieces.where(chosen), beams)
        index = chosen[index]
        ray = ((pieces.frame[index] * sweeps + sweep) * tall + beam) * columns + column
        if not len(ray):
            continue
        distance, cosine = meet(pieces, index, beams, directions, sweep, ray, keys)
        hit = torch.nonzero(distance < FAR).flatten()
        distance, ray, index, cosine = distance[hit].contiguous(), ray[hit], index[hit], cosine[hit]
        number = before + torch.arange(len(hit), device=ray.device)
        key = (distance.view(torch.int32).to(torch.int64) << 32) | number  # positive floats sort as their bits do
        nearest.scatter_reduce_(0, ray, key, "amin")
        found.append(index)
        cosines.append(cosine)
        before += len(hit)
    met = nearest != NONE
    piece = torch.full_like(nearest, -1)
    distance = torch.full(nearest.shape, FAR, device=nearest.device)
    cosine = torch.zeros_like(distance)
    if found:
        number = nearest[met] & 0xFFFFFFFF
        piece[met] = torch.cat(found)[number]
        cosine[met] = torch.cat(cosines)[number]
        distance[met] = (nearest[met] >> 32).to(torch.int32).view(torch.float32)
    return Hits(distance, cosine, piece)
