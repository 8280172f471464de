"""The sensor: 32 beams that turn 20 times a second on a moving vehicle, over a ground with slope, waves and kerbs.

As nuScenes' LIDAR_TOP (a Velodyne HDL-32E): beams from -30.67 to +10.67 degrees, 1.33 degrees apart, 1084 columns a
turn, 1.84 m above the ground, ranges in steps of 2 mm. The ten newest sweeps are brought into the newest one's frame;
a point's fifth number is the age of its sweep. A sweep is taken at one instant: nothing moves while the sensor turns.
"""
import math
from dataclasses import dataclass

import torch

from .counter import mix, normal_of, unit
from .rays import FAR, Beams, cast
from .worlds import TRAINING

BEAMS, COLUMNS, PERIOD = 32, 1084, 0.05
LOWEST, HIGHEST = math.radians(-30.67), math.radians(10.67)
HEIGHT = 1.84
FARTHEST = 105.0
CLOSE = 1.0  # within a square of this half side around the sensor, old sweeps' points are left out, as det3d does


@dataclass
class Ground:
    """Height over (x, y): a slope and three waves. [frames, 1] or [frames, 3]"""
    slope: torch.Tensor  # [frames, 2]
    amplitude: torch.Tensor  # [frames, 3]
    wave: torch.Tensor  # [frames, 3, 2], radians a metre
    phase: torch.Tensor  # [frames, 3]
    down: torch.Tensor  # [frames]: what brings the ground below the sensor to -HEIGHT

    def height(self, x, y):
        """x, y: [frames, ...]"""
        shape = [len(x)] + [1] * (x.dim() - 1)
        h = self.slope[:, 0].view(shape) * x + self.slope[:, 1].view(shape) * y + self.down.view(shape)
        for i in range(3):
            across, along, phase, amplitude = (
                v.view(shape) for v in (self.wave[:, i, 0], self.wave[:, i, 1], self.phase[:, i], self.amplitude[:, i]))
            h = h + amplitude * torch.sin(across * x + along * y + phase)
        return h


def make_ground(draws):
    length, way = draws.uniform(3, low=25, high=80), draws.uniform(3, high=2 * math.pi)
    wave = torch.stack((torch.cos(way), torch.sin(way)), 2) * (2 * math.pi / length)[..., None]
    g = Ground(draws.normal(2, deviation=0.015).clamp(-0.04, 0.04), draws.uniform(3, low=0.0, high=0.13), wave,
               draws.uniform(3, high=2 * math.pi), torch.zeros(len(draws.keys), device=draws.keys.device))
    zero = torch.zeros(len(draws.keys), 1, device=draws.keys.device)
    g.down = -HEIGHT - g.height(zero, zero)[:, 0]
    return g


def make_beams(draws, ground, sweeps):
    """The vehicle drives ahead, in a slight curve, or stands."""
    speed = draws.uniform(1, low=0, high=13) * draws.chance(0.8, 1)
    turn = draws.normal(1, deviation=0.06) * speed / 8
    lag = PERIOD * torch.arange(sweeps, device=speed.device)
    way = math.pi / 2 - turn * lag / 2  # the chord's direction
    x, y = -speed * lag * torch.cos(way), -speed * lag * torch.sin(way)
    origin = torch.stack((x, y, ground.height(x, y) + HEIGHT), 2)
    elevation = torch.linspace(LOWEST, HIGHEST, BEAMS, device=speed.device)
    return Beams(origin, draws.uniform(sweeps, high=2 * math.pi), elevation, lag, COLUMNS)


def ground_hits(street, ground, beams):
    """Distance, cosine of incidence and reflectance of the ground along each ray, [frames, sweeps, beams, columns].

    The road's surface and, a kerb's height above it, the pavement's: each found by three steps of Newton's method from
    the plane below the sensor. A ray that dives from the one into the other meets the kerb between them.
    """
    d = beams.directions()
    o = beams.origin[:, :, None, None, :]

    def surface(lift):
        lift = lift.view(-1, 1, 1, 1)
        t = (HEIGHT - lift) / (-d[..., 2]).clamp(min=1e-4)
        for _ in range(3):
            x, y = o[..., 0] + t * d[..., 0], o[..., 1] + t * d[..., 1]
            above = o[..., 2] + t * d[..., 2] - ground.height(x, y) - lift
            climb = ground.slope[:, 0].view(-1, 1, 1, 1) * d[..., 0] + ground.slope[:, 1].view(-1, 1, 1, 1) * d[..., 1]
            t = (t + above / (climb - d[..., 2]).clamp(min=4e-3)).clamp(0, 400)
        return t, x, y

    road, x, y = surface(torch.zeros_like(street.kerb))
    paved, px, py = surface(street.kerb)
    u, v = street.to_uv(x, y)
    on_pavement, below = street.paved(*street.to_uv(px, py)), street.paved(u, v)
    t = torch.where(on_pavement, paved, torch.where(below, (road + paved) / 2, road))
    kerb = below & ~on_pavement
    cosine = torch.where(kerb, torch.full_like(t, 0.7), (-d[..., 2]).clamp(min=0.002))
    v_abs = v.abs()
    line = (torch.remainder(v_abs + 0.08, 3.5) < 0.16) & (v_abs < street.half.view(-1, 1, 1, 1))
    line &= (torch.remainder(u, 9.0) < 4.0) | (v_abs < 0.3)
    verge = v_abs > (street.half + street.pavement).view(-1, 1, 1, 1)
    reflectance = torch.where(on_pavement | kerb, torch.where(verge, 0.27, 0.2), torch.where(line, 0.5, 0.13))
    far = (t > FARTHEST) | (d[..., 2] > 0.03)
    return torch.where(far, torch.full_like(t, FAR), t), cosine, reflectance, verge & on_pavement


@dataclass
class Returns:
    """Flat over rays: what came back. point: [., 3]; body: its index in its frame's Bodies, -1 for the ground."""
    seen: torch.Tensor
    point: torch.Tensor
    intensity: torch.Tensor
    body: torch.Tensor
    surface: torch.Tensor  # the point without noise


def scan(keys, street, ground, pieces, beams, world=TRAINING):
    hits = cast(pieces, beams, keys)
    distance, cosine, reflectance, rough = (g.flatten() for g in ground_hits(street, ground, beams))
    frames, sweeps, tall, columns = beams.shape()
    within = torch.arange(sweeps * tall * columns, device=keys.device)
    bits = mix(mix(keys + 0x5EED)[:, None] + within).flatten()
    distance = distance + torch.where(rough, 0.25 * (unit(mix(bits + 3)) - 0.3), torch.zeros_like(distance))
    nearer = hits.distance < distance
    piece = hits.piece.clamp(min=0)
    distance = torch.where(nearer, hits.distance, distance)
    cosine = torch.where(nearer, hits.cosine, cosine)
    reflectance = torch.where(nearer, pieces.reflectance[piece], reflectance)
    body = torch.where(nearer, pieces.body[piece], torch.full_like(piece, -1))
    grain = torch.exp(0.5 * normal_of(bits))
    strength = reflectance * (0.02 + cosine) * grain * (40 / distance.clamp(min=1)) ** 2
    if world.extinction:
        strength = strength * torch.exp(-2 * world.extinction * distance)
    lost = unit(mix(bits + 1)) < world.lost
    seen = (distance < FARTHEST) & (strength > 0.003) & ~lost
    intensity = torch.floor((120 * reflectance * (0.45 + 0.55 * cosine) * grain).clamp(0, 255))
    noisy = torch.round((distance + world.noise * normal_of(mix(bits + 2))) * 500) / 500
    directions, origin = beams.directions(), beams.origin[:, :, None, None, :]
    at = lambda t: (origin + t.view(frames, sweeps, tall, columns, 1) * directions).view(-1, 3)
    return Returns(seen, at(noisy), intensity, body, at(distance))
