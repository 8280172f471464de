"""The shape of each kind of body, from a dozen uniform numbers: function NAME(builder) adds its pieces.

Lengths in metres, relative to the centre of the body's box: l, w, h are half its length, width and height. Pieces stay
within the box, as an annotator's box holds the whole object (mirrors and a few wheels touch its sides).
"""
import torch

from .bodies import CODE
from .parts import CAPSULE, ELLIPSOID, FRUSTUM, POLYTOPE, Builder

GLASS = 0.05


def _halves(b):
    f = b.flat
    return f.length / 2, f.width / 2, f.height / 2


def _pick(b, i, low, high):
    return low + (high - low) * b.flat.numbers[:, i]


def _paint(b, i=0):
    """Dark and bright paint: most surfaces reflect little."""
    return 0.06 + 0.75 * b.flat.numbers[:, i] ** 2


def _axles(b, places, radius, thickness, inset=0.02):
    _, w, _ = _halves(b)
    for x, keep in places:
        for side in (-1, 1):
            b.wheel(x, side * (w - thickness - inset), radius, thickness, keep=keep)


def car(b):
    l, w, h = _halves(b)
    paint, kind = _paint(b), b.flat.numbers[:, 1]
    estate, pickup = (kind > 0.5) & (kind < 0.9), kind >= 0.9
    clearance, belt = -h + _pick(b, 2, 0.16, 0.26), _pick(b, 3, -0.02, 0.14) * h
    b.box(0.0, 0.0, (clearance, belt), (l * 0.97, w * 0.97, None), extra=(0.18, 0.12, 0.06), reflectance=paint)
    back = torch.where(estate, -0.93, torch.where(pickup, -0.05, _pick(b, 4, -0.8, -0.62))) * l
    front = _pick(b, 5, 0.36, 0.56) * l
    leaning = (_pick(b, 6, 0.6, 1.0), torch.where(estate, _pick(b, 7, 0.1, 0.4), _pick(b, 7, 0.4, 0.9)), 0.18)
    top = h - 0.07
    b.box((back + 0.12 * l, front - 0.12 * l), 0.0, (belt, top), (None, w * 0.84, None), extra=leaning,
          reflectance=GLASS, through=0.45)
    b.box((back + 0.25 * l, front - 0.24 * l), 0.0, (top, h), (None, w * 0.74, None), extra=(0.5, 0.5, 0.3),
          reflectance=paint)
    for x in (0.35, -0.3):  # pillars
        for side in (-1, 1):
            b.add(POLYTOPE, ((front + back) / 2 + x * (front - back) * 0.9, side * w * 0.8, (belt + top) / 2),
                  (0.05, 0.04, (top - belt) / 2), reflectance=paint, keep=~pickup)
    for side in (-1, 1):  # seats, seen through the windows; plates that reflect light back
        b.add(ELLIPSOID, (0.05 * l, side * 0.42 * w, belt + 0.08), (0.14, 0.24, 0.4 * (top - belt)), reflectance=0.1)
        b.add(POLYTOPE, (side * (l * 0.985), 0.0, -0.35 * h), (0.012, 0.26, 0.06), reflectance=2.5)
    radius = 0.19 * (2 * h).clamp(1.4, 2.0)
    _axles(b, ((0.62 * l, None), (-0.6 * l, None)), radius, 0.11)


def truck(b):
    l, w, h = _halves(b)
    paint, cargo, kind = _paint(b), _paint(b, 1), b.flat.numbers[:, 2]
    small = b.flat.height < 2.3  # a pickup truck
    cab = l - _pick(b, 3, 1.6, 2.3).clamp(max=1.0).minimum(0.7 * l) * 1.6
    bed = -h + 0.28 * 2 * h
    b.box((cab, l), 0.0, (-h + 0.35, 0.15 * h), (None, w * 0.95, None), extra=(0.08, 0.0, 0.02), reflectance=paint)
    b.box((cab, l - 0.3), 0.0, (0.15 * h, _pick(b, 4, 0.7, 0.95) * h), (None, w * 0.9, None), extra=(0.3, 0.0, 0.08),
          reflectance=0.12, through=0.25)
    b.box((-l, cab - 0.1), 0.0, (bed - 0.25, bed), (None, w * 0.9, None), reflectance=0.1)
    closed, tipper = (kind < 0.6) & ~small, (kind >= 0.6) & (kind < 0.85)
    b.box((-l, cab - 0.15), 0.0, (bed, h), (None, w * 0.99, None), reflectance=cargo, keep=closed)
    b.box((0.12 - l, cab - 0.2), 0.0, (bed, 0.45 * h), (None, w * 0.92, None), extra=(-0.05, -0.1, -0.08),
          reflectance=cargo, keep=tipper | small)
    b.add(FRUSTUM, ((cab - l) / 2, 0.0, 0.35 * h), (0.5 * h, 0.9 * w, (cab + l) * 0.45), (1.0, 0.0, 0.0),
          (0.0, torch.pi / 2), reflectance=cargo, keep=~closed & ~tipper & ~small)  # a tank
    radius = (0.17 * 2 * h).clamp(0.34, 0.5)
    _axles(b, ((l - 1.1, None), (-0.55 * l, None), (-0.55 * l - 2.2 * radius, l > 3.2)), radius, 0.14)


def bus(b):
    l, w, h = _halves(b)
    paint = _paint(b)
    b.box(0.0, 0.0, (-h + 0.3, -0.15 * h), (l, w, None), extra=(0.03, 0.03, 0.01), reflectance=paint)
    b.box(0.0, 0.0, (-0.15 * h, 0.6 * h), (l * 0.985, w * 0.985, None), extra=(0.08, 0.02, 0.02), reflectance=GLASS,
          through=0.4)
    b.box(0.0, 0.0, (0.6 * h, h), (l * 0.97, w * 0.98, None), extra=(0.15, 0.1, 0.15), reflectance=paint)
    for i in range(7):  # pillars between the windows
        for side in (-1, 1):
            b.add(POLYTOPE, ((i / 3 - 1) * 0.97 * l, side * 0.97 * w, 0.22 * h), (0.07, 0.04, 0.38 * h),
                  reflectance=paint)
    for i in range(5):  # seats
        b.add(POLYTOPE, ((i / 2 - 1) * 0.8 * l, 0.0, -0.05 * h), (0.12, 0.8 * w, 0.3 * h), reflectance=0.15)
    _axles(b, ((0.58 * l, None), (-0.5 * l, None)), 0.48, 0.15)


def trailer(b):
    l, w, h = _halves(b)
    paint, kind = _paint(b), b.flat.numbers[:, 1]
    bed = -h + 0.3 * 2 * h
    flat, low = kind > 0.75, (kind > 0.6) & (kind <= 0.75)
    b.box(0.0, 0.0, (bed - 0.3, bed), (l, w * 0.95, None), reflectance=0.12)
    b.box((-l, l), 0.0, (bed, h), (None, w, None), reflectance=paint, keep=~flat & ~low)
    b.box((-l, l), 0.0, (bed, 0.25 * h), (None, w, None), extra=(-0.02, -0.02, -0.05), reflectance=paint, keep=low)
    b.box((0.9 * l, l), 0.0, (bed, h), (None, w, None), reflectance=paint, keep=low | flat)
    for i in range(4):
        b.add(POLYTOPE, ((i * 0.5 - 0.85) * l, 0.0, bed + 0.6), (0.12 * l, 0.75 * w, 0.6),
              reflectance=_paint(b, 4 + i), keep=flat)
    _axles(b, ((-0.85 * l, None), (-0.85 * l + 1.25, None), (-0.85 * l + 2.5, l > 5)), 0.48, 0.2)
    for side in (-1, 1):
        b.box((0.5 * l, 0.5 * l + 0.15), side * 0.6 * w, (-h, bed), (None, 0.07, None), reflectance=0.15)


def construction_vehicle(b):
    l, w, h = _halves(b)
    paint, kind = 0.3 + 0.4 * b.flat.numbers[:, 0], b.flat.numbers[:, 1]
    digger, loader, roller = kind < 0.5, (kind >= 0.5) & (kind < 0.85), kind >= 0.85
    for side in (-1, 1):  # an excavator: tracks, house with cabin, a boom in two pieces, the bucket
        b.box((-l, 0.2 * l), side * 0.75 * w, (-h, -0.5 * h), (None, 0.22 * w, None), extra=(0.4, 0.4, 0.0),
              reflectance=0.12, keep=digger)
    b.box((-l, 0.1 * l), 0.0, (-0.45 * h, 0.15 * h), (None, 0.85 * w, None), reflectance=paint, keep=digger)
    b.box((-0.35 * l, 0.12 * l), 0.45 * w, (0.1 * h, 0.95 * h), (None, 0.35 * w, None), reflectance=0.15, through=0.3,
          keep=digger)
    up = _pick(b, 2, 0.55, 0.8)
    b.add(POLYTOPE, (0.36 * l, -0.2 * w, 0.42 * h), (0.12, 0.14, 0.45 * h), tilt=(0.0, up), reflectance=paint,
          keep=digger)
    b.add(POLYTOPE, (0.78 * l, -0.2 * w, 0.0), (0.1, 0.12, 0.5 * h), tilt=(0.0, -_pick(b, 3, 0.05, 0.25)),
          reflectance=paint, keep=digger)
    b.box((0.72 * l, 0.98 * l), -0.2 * w, (-h, -0.55 * h), (None, 0.3 * w, None), reflectance=0.2, keep=digger)
    b.box((-0.95 * l, 0.35 * l), 0.0, (-0.5 * h, 0.1 * h), (None, 0.6 * w, None), reflectance=paint, keep=loader)
    b.box((-0.35 * l, 0.15 * l), 0.0, (0.1 * h, h), (None, 0.5 * w, None), reflectance=0.12, through=0.4, keep=loader)
    b.box((-0.4 * l, 0.2 * l), 0.0, (0.92 * h, h), (None, 0.55 * w, None), reflectance=paint, keep=loader)
    b.box((0.72 * l, 0.95 * l), 0.0, (-h + 0.1, -0.35 * h), (None, w, None), extra=(-0.2, 0.2, 0.0), reflectance=0.25,
          keep=loader)
    for side in (-1, 1):
        b.add(CAPSULE, (0.5 * l, side * 0.4 * w, -0.4 * h), (0.12, 0.12, 0.24 * l), tilt=(0.0, 1.9), reflectance=paint,
              keep=loader)
    _axles(b, ((0.3 * l, loader), (-0.62 * l, loader)), 0.42 * h, 0.16 * w)
    b.add(FRUSTUM, (0.6 * l, 0.0, -h + 0.38 * l), (0.38 * l, 0.38 * l, 0.9 * w), (1.0, 0.0, 0.0), (torch.pi / 2, 0.0),
          reflectance=0.2, keep=roller)  # a roller: its drum, its body, its roof on posts
    b.box((-0.9 * l, 0.5 * l), 0.0, (-0.6 * h, 0.0), (None, 0.7 * w, None), reflectance=paint, keep=roller)
    b.box((-0.6 * l, 0.3 * l), 0.0, (0.9 * h, h), (None, 0.7 * w, None), reflectance=paint, keep=roller)
    for x in (-0.55, 0.25):
        for side in (-1, 1):
            b.add(CAPSULE, (x * l, side * 0.65 * w, 0.45 * h), (0.04, 0.04, 0.42 * h), reflectance=0.2, keep=roller)
    _axles(b, ((-0.6 * l, roller),), 0.45 * h, 0.15 * w)


def _person(b, x, bottom, height, w, sitting=False, keep=None):
    """From `bottom` (z) upwards; thick and broad as the box allows."""
    cloth, skin = 0.08 + 0.5 * b.flat.numbers[:, 8], 0.35
    swing = _pick(b, 9, -0.45, 0.45) * (b.flat.speed > 0.2)
    hip, shoulder = bottom + 0.48 * height, bottom + 0.80 * height
    broad = torch.minimum(0.24 + 0 * w, 0.8 * w)
    for side in (-1, 1):
        if sitting:
            b.add(CAPSULE, (x + 0.12, side * 0.13, hip - 0.18), (0.07, 0.07, 0.22), tilt=(0.0, 1.0), reflectance=cloth,
                  keep=keep)
        else:
            b.add(CAPSULE, (x - side * 0.24 * height * torch.sin(swing), side * 0.45 * broad, bottom + 0.26 * height),
                  (0.075, 0.075, 0.19 * height), tilt=(0.0, side * swing), reflectance=cloth * 0.7, keep=keep)
        b.add(CAPSULE, (x + side * 0.1 * torch.sin(swing), side * 0.92 * broad, bottom + 0.62 * height),
              (0.045, 0.045, 0.13 * height), tilt=(0.0, -side * swing * 0.8), reflectance=cloth, keep=keep)
    b.add(ELLIPSOID, (x, 0.0, (hip + shoulder) / 2), (0.13, broad * 0.85, 0.6 * (shoulder - hip)), reflectance=cloth,
          keep=keep)
    b.add(ELLIPSOID, (x, 0.0, bottom + 0.925 * height), (0.1, 0.08, 0.075 * height), reflectance=skin, keep=keep)


def pedestrian(b):
    l, w, h = _halves(b)
    _person(b, 0.0, -h, 2 * h, w)
    bag = b.flat.numbers[:, 1] < 0.3
    b.add(ELLIPSOID, (-0.2, 0.0, 0.28 * h), (0.1, 0.14, 0.22), reflectance=0.15, keep=bag)


def _cycle(b, radius, thickness, spokes, tube):
    l, w, h = _halves(b)
    moving = b.flat.speed > 0.2
    for x in (l - radius - 0.02, radius + 0.02 - l):
        b.wheel(x, 0.0, radius, thickness, through=spokes, reflectance=0.15)
    saddle = torch.where(moving, 0.0, 0.55) * h
    for x, z, tilt, reach in ((0.1, -0.25, 1.05, 0.45), (-0.25, -0.3, -0.35, 0.4), (0.62, -0.1, -0.3, 0.5)):
        b.add(CAPSULE, (x * l, 0.0, z * h), (tube, tube, reach * h * 0.8), tilt=(0.0, tilt), reflectance=0.25)
    b.add(CAPSULE, (0.5 * l, 0.0, torch.where(moving, 0.1, 0.8) * h), (0.02, 0.02, 0.85 * w), tilt=(torch.pi / 2, 0.0),
          reflectance=0.2)
    b.add(ELLIPSOID, (-0.25 * l, 0.0, saddle), (0.14, 0.09, 0.05), reflectance=0.1)
    _person(b, -0.15 * l, -h + 0.25, 2 * h - 0.27, w, sitting=True, keep=moving)


def motorcycle(b):
    l, w, h = _halves(b)
    _cycle(b, 0.3, 0.07, 0.15, 0.05)
    b.add(ELLIPSOID, (0.12 * l, 0.0, -0.05 * h), (0.4 * l, 0.6 * w.clamp(max=0.3), 0.22 * h), reflectance=_paint(b))
    b.box((-0.25 * l, 0.25 * l), 0.0, (-0.7 * h, -0.2 * h), (None, 0.15, None), reflectance=0.2)
    b.add(ELLIPSOID, (-0.5 * l, 0.0, 0.1 * h), (0.3 * l, 0.15, 0.12 * h), reflectance=0.12)


def bicycle(b):
    _cycle(b, 0.33, 0.025, 0.6, 0.025)


def traffic_cone(b):
    l, w, h = _halves(b)
    base = torch.minimum(l, w)
    b.box(0.0, 0.0, (-h, -h + 0.05), (base, base, None), reflectance=0.15)
    tube = b.flat.numbers[:, 1] < 0.25  # a delineator rather than a cone
    low = torch.where(tube, 0.45, 0.8) * base
    b.add(FRUSTUM, (0.0, 0.0, 0.02), (low, low, h - 0.03), (torch.where(tube, 0.8, 0.2), 0.0, 0.0),
          reflectance=0.3 + 0.9 * b.flat.numbers[:, 2])


def barrier(b):
    l, w, h = _halves(b)
    solid, paint = b.flat.numbers[:, 1] < 0.65, 0.25 + 0.5 * b.flat.numbers[:, 0]
    b.box(0.0, 0.0, (-h, -0.4 * h), (l * 0.85, w, None), extra=(0.2, 0.2, 0.0), reflectance=paint, keep=solid)
    b.box(0.0, 0.0, (-0.4 * h, h), (l * 0.4, w, None), extra=(0.06, 0.06, 0.0), reflectance=paint, keep=solid)
    for z in (0.75, 0.1):  # boards on feet
        b.box(0.0, 0.0, (z * h - 0.12, z * h + 0.1), (0.04, w, None), reflectance=paint * 1.6, keep=~solid)
    for side in (-1, 1):
        b.box(0.0, side * 0.85 * w, (-h, 0.9 * h), (0.05, 0.05, None), reflectance=0.2, keep=~solid)
        b.box(0.0, side * 0.85 * w, (-h, -h + 0.08), (l, 0.06, None), reflectance=0.2, keep=~solid)


def building(b):
    l, w, h = _halves(b)
    wall = 0.2 + 0.6 * b.flat.numbers[:, 0]
    b.box(0.0, 0.0, (-h, h), (l, w, None), reflectance=wall)
    for i in range(3):  # what stands out of a front: bays, doorways, awnings
        for side in (-1, 1):
            x = (_pick(b, 2 + i, -0.15, 0.15) + (i - 1) * 0.6) * l
            high = _pick(b, 5 + i, 0.4, 2.8)
            b.box((x - 0.14 * l, x + 0.14 * l), side * w, (-h + high, -h + high + _pick(b, 8 + i, 0.3, 2.4)),
                  (None, _pick(b, 11 + i, 0.1, 0.9), None), reflectance=wall * 0.8, keep=h > 1.6)


def fence(b):
    l, w, h = _halves(b)
    b.box(0.0, 0.0, (-h, h), (l, w, None), reflectance=0.3, through=_pick(b, 0, -0.4, 0.7).clamp(min=0))


def pole(b):
    l, w, h = _halves(b)
    b.add(FRUSTUM, (0.0, 0.0, 0.0), (l, l, h), (_pick(b, 0, 0.6, 1.0), 0.0, 0.0), reflectance=_pick(b, 1, 0.15, 0.5))
    lamp = (b.flat.numbers[:, 2] < 0.5) & (h > 2.2)
    b.add(CAPSULE, (0.0, 0.9, h - 0.3), (0.06, 0.06, 0.9), tilt=(torch.pi / 2, 0.0), reflectance=0.3, keep=lamp)
    b.box(0.0, 0.0, (-h, -h + 1.1), (0.18, 0.18, None), reflectance=0.3, keep=b.flat.numbers[:, 3] < 0.3)


def sign(b):
    l, w, h = _halves(b)
    b.add(FRUSTUM, (0.0, 0.0, 0.0), (0.04, 0.04, h), (1.0, 0.0, 0.0), reflectance=0.3)
    b.box(0.0, 0.0, (h - 2 * w, h), (0.015, w, None), reflectance=2.2)


def tree(b):
    l, w, h = _halves(b)
    trunk = _pick(b, 0, 0.3, 0.5)
    b.add(FRUSTUM, (0.0, 0.0, (trunk - 1) * h), (l * 0.7, l * 0.7, trunk * h), (0.7, 0.0, 0.0), reflectance=0.15)
    wide = _pick(b, 1, 0.28, 0.5) * h
    for i in range(4):
        x, y = (_pick(b, 2 + 2 * i, -0.5, 0.5) * wide, _pick(b, 3 + 2 * i, -0.5, 0.5) * wide)
        z = (2 * trunk - 1 + (2 - 2 * trunk) * (0.3 + 0.15 * i)) * h
        b.add(ELLIPSOID, (x, y, z), (wide, wide, 0.45 * h), reflectance=0.35, depth=_pick(b, 10 + i, 0.8, 4.0))


def bush(b):
    l, w, h = _halves(b)
    for i, (x, y) in enumerate(((0.0, 0.0), (0.5, 0.3), (-0.5, -0.2))):
        b.add(ELLIPSOID, (x * l, y * w, -0.15 * i * h), (l * (1 - 0.25 * i), w * (1 - 0.2 * i), h * (1 - 0.15 * i)),
              reflectance=0.22, depth=0.35)


def hedge(b):
    l, w, h = _halves(b)
    b.box(0.0, 0.0, (-h, h), (l, w, None), extra=(0.05, 0.05, 0.1), reflectance=0.22, depth=0.12)


def box(b):
    """Bins, cabinets, pallets, kiosks."""
    l, w, h = _halves(b)
    b.box(0.0, 0.0, (-h, h), (l, w, None), extra=(_pick(b, 1, -0.1, 0.2), 0.0, _pick(b, 2, -0.1, 0.1)),
          reflectance=_paint(b))


def bollard(b):
    l, w, h = _halves(b)
    b.add(FRUSTUM, (0.0, 0.0, 0.0), (l, l, h), (_pick(b, 0, 0.5, 1.0), 0.0, 0.0),
          reflectance=0.2 + 0.5 * b.flat.numbers[:, 1])


def ego(b):
    """The vehicle below the sensor: roof and bonnet. What they reflect is too near to be a point."""
    b.add(FRUSTUM, (0.55, 0.0, 0.2), (1.2, 0.68, 0.52), (0.83, 0.0, 0.0), reflectance=0.2)
    b.box((1.3, 2.0), 0.0, (-0.4, 0.05), (None, 0.8, None), reflectance=0.2)


BUILDERS = {CODE[f.__name__]: f for f in
            (car, truck, construction_vehicle, bus, trailer, barrier, motorcycle, bicycle, pedestrian, traffic_cone,
             building, fence, pole, sign, tree, bush, hedge, box, bollard, ego)}


class Flat:
    """The bodies of one kind in all frames, one after another."""

    def __init__(self, bodies, mask):
        self.frame, self.body = torch.nonzero(mask, as_tuple=True)
        for name in ("x", "y", "z", "yaw", "length", "width", "height", "speed", "vx", "vy", "numbers"):
            setattr(self, name, getattr(bodies, name)[mask])


def build(bodies):
    """Builders that hold the pieces of all living bodies."""
    builders = []
    for code, shape in BUILDERS.items():
        builder = Builder(Flat(bodies, bodies.alive & (bodies.code == code)))
        shape(builder)
        builders.append(builder)
    return builders
