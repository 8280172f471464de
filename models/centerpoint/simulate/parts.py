"""What bodies are made of: convex pieces that a ray can be cut with in closed form.

    POLYTOPE   a box whose four sides may lean inwards:  x + front z <= half_x, -x + back z <= half_x,
               +-y + side z <= half_y, |z| <= half_z                                       extra = front, back, side
    ELLIPSOID  |p / half| <= 1
    FRUSTUM    elliptic cone or cylinder around z: |(x, y) / half| <= k(z), |z| <= half_z; k goes linearly from 1 at the
               bottom to extra[0] at the top, and half are the bottom's
    CAPSULE    points within half_x of the segment |z| <= half_z

All in the piece's own frame, which is turned about its x axis, then its y axis (tilt), then with its body about z.
"""
import functools
from dataclasses import dataclass, fields

import torch

POLYTOPE, ELLIPSOID, FRUSTUM, CAPSULE = range(4)


@dataclass
class Pieces:
    """Structure of arrays, [pieces, ...]; centre in the LiDAR's frame at the newest sweep."""
    kind: torch.Tensor
    frame: torch.Tensor  # of the batch
    body: torch.Tensor  # in its frame's Bodies
    number: torch.Tensor  # among its body's pieces
    centre: torch.Tensor  # [., 3]
    rotation: torch.Tensor  # [., 3, 3], from the piece's frame to the LiDAR's
    yaw: torch.Tensor
    bound: torch.Tensor  # [., 3]: half sides of a box, turned by yaw alone, around it
    half: torch.Tensor  # [., 3]
    extra: torch.Tensor  # [., 3]
    velocity: torch.Tensor  # [., 2]
    reflectance: torch.Tensor
    through: torch.Tensor  # chance that a ray passes as if it were not there: windows, spokes
    depth: torch.Tensor  # mean depth (metres) to which rays enter: foliage; 0: none

    def where(self, mask):
        return Pieces(*(getattr(self, f.name)[mask] for f in fields(self)))


def rotations(tilt_x, tilt_y, yaw):
    """Rz(yaw) Ry(tilt_y) Rx(tilt_x): [n, 3, 3]."""
    cx, sx, cy, sy = torch.cos(tilt_x), torch.sin(tilt_x), torch.cos(tilt_y), torch.sin(tilt_y)
    c, s, zero = torch.cos(yaw), torch.sin(yaw), torch.zeros_like(yaw)
    rows = (c * cy, c * sy * sx - s * cx, c * sy * cx + s * sx,
            s * cy, s * sy * sx + c * cx, s * sy * cx - c * sx,
            zero - sy, cy * sx, cy * cx)
    return torch.stack(rows, 1).view(-1, 3, 3)


@functools.lru_cache(None)
def _constant(values, device):
    """On a GPU every new tensor of constants would wait for a copy."""
    return torch.tensor(values, dtype=torch.float32, device=device)


class Builder:
    """Adds pieces to chosen bodies. `bodies` are flattened: x, y, z, yaw, ... [n]; coordinates of a piece are relative
    to its body's centre, x ahead, y left. Numbers may be floats or [n]."""

    def __init__(self, flat):
        self.flat, self.lists = flat, []
        zero = torch.zeros_like(flat.yaw)
        self.cos, self.sin, self.upright = torch.cos(flat.yaw), torch.sin(flat.yaw), rotations(zero, zero, flat.yaw)

    def _stack(self, values):
        like = self.flat.x
        if not any(torch.is_tensor(v) for v in values):
            return _constant(tuple(values), like.device).expand(len(like), -1)
        return torch.stack([v.expand_as(like) if torch.is_tensor(v) else torch.full_like(like, v) for v in values], 1)

    def add(self, kind, centre, half, extra=(0.0, 0.0, 0.0), tilt=(0.0, 0.0), reflectance=0.3, through=0.0, depth=0.0,
            keep=None):
        b = self.flat
        local, half, extra = self._stack(centre), self._stack(half), self._stack(extra)
        other, velocity = self._stack((reflectance, through, depth)), torch.stack((b.vx, b.vy), 1)
        x = b.x + local[:, 0] * self.cos - local[:, 1] * self.sin
        y = b.y + local[:, 0] * self.sin + local[:, 1] * self.cos
        reach = half.clone()
        if kind == CAPSULE:
            reach = torch.stack((half[:, 0], half[:, 0], half[:, 2] + half[:, 0]), 1)
        elif kind == POLYTOPE:  # where the sides lean outwards towards one end, that end is the widest
            reach[:, 0] += torch.maximum(extra[:, 0].abs(), extra[:, 1].abs()) * half[:, 2]
            reach[:, 1] += extra[:, 2].abs() * half[:, 2]
        elif kind == FRUSTUM:
            reach[:, :2] *= extra[:, :1].clamp(min=1)
        bound, rotation = reach, self.upright
        if any(torch.is_tensor(angle) or angle != 0 for angle in tilt):
            tilt = self._stack(tilt)
            leaning = rotations(tilt[:, 0], tilt[:, 1], torch.zeros_like(b.yaw))
            bound = (leaning.abs() * reach[:, None, :]).sum(2)
            rotation = rotations(tilt[:, 0], tilt[:, 1], b.yaw)
        pieces = Pieces(torch.full_like(b.frame, kind), b.frame, b.body,
                        torch.full_like(b.frame, len(self.lists)), torch.stack((x, y, b.z + local[:, 2]), 1),
                        rotation, b.yaw, bound, half, extra, velocity, other[:, 0], other[:, 1], other[:, 2])
        self.lists.append(pieces if keep is None else pieces.where(keep))

    def box(self, x, y, z, half, **more):
        """x, y, z: (low, high) each, or a centre with its half side in `half` where that is not None."""
        middle = [(c[0] + c[1]) / 2 if isinstance(c, tuple) else c for c in (x, y, z)]
        sides = [(c[1] - c[0]) / 2 if isinstance(c, tuple) else h for c, h in zip((x, y, z), half)]
        self.add(POLYTOPE, middle, sides, **more)

    def wheel(self, x, y, radius, thickness, **more):
        """An upright disc that rolls ahead, standing on the body's bottom."""
        z = radius - self.flat.height / 2
        more.setdefault("reflectance", 0.06)
        self.add(FRUSTUM, (x, y, z), (radius, radius, thickness), (1.0, 0.0, 0.0), (torch.pi / 2, 0.0), **more)


def join(builders):
    lists = [pieces for builder in builders for pieces in builder.lists]
    return Pieces(*(torch.cat([getattr(p, f.name) for p in lists]) for f in fields(Pieces)))
