"""What worlds are made of: the one that training frames come from, and others, to see what a network does with frames
that are not drawn from the distribution that it was trained on: other shapes, layouts and weather.

A world changes what is made of a frame's random numbers, not which are drawn.
"""
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class World:
    rich: float = 0.5  # 0 to 1: how many objects of rare classes
    # Shapes
    sizes: dict = field(default_factory=dict)  # of a class: factors of its mean length, width and height
    spread: float = 1.0  # of the sizes' relative deviations
    mixture: float = 1.0  # exponent of the uniform numbers that choose kinds and proportions of bodies
    # Layouts
    bend: float = 0.06  # deviation of the street's direction from the vehicle's, radians; cut off at 25/6 of it
    clutter: float = 1.0  # of the chances of poles, trees, boxes, ...
    clutter_spans: dict = field(default_factory=dict)  # of a kind: spans of its length, width and height, metres
    # Weather and sensor
    lost: float = 0.012  # of all returns
    extinction: float = 0.0  # a metre, as rain and fog have it: a return's strength falls by exp(-2 * extinction * d)
    noise: float = 0.018  # deviation of a range, metres


TRAINING = World()
# Light rain, streets at larger angles to the vehicle: vans and small cars, more children, low cones, posts and cabinets as
# tall as people.
OTHER = World(
    sizes={"car": (0.90, 0.95, 1.08), "truck": (1.15, 0.96, 0.92), "construction_vehicle": (0.85, 0.9, 0.9),
           "bus": (0.85, 0.92, 0.92), "trailer": (0.75, 0.92, 0.85), "barrier": (1.2, 0.75, 0.9),
           "motorcycle": (0.92, 0.95, 0.9), "bicycle": (0.93, 0.9, 0.92), "pedestrian": (0.9, 0.9, 0.86),
           "traffic_cone": (0.8, 0.8, 0.68)},
    spread=1.4, mixture=0.7, bend=0.2, clutter=1.5,
    clutter_spans={"box": ((0.3, 1.6), (0.3, 0.9), (0.5, 1.9)), "bollard": ((0.15, 0.4), (0.15, 0.4), (0.4, 1.2)),
                   "pole": ((0.12, 0.45), (0.12, 0.45), (1.5, 7.5))},
    lost=0.06, extinction=0.012, noise=0.025)
WORLDS = {"training": TRAINING, "other": OTHER}


def world_of(name, rich):
    return replace(WORLDS[name], rich=rich)
