"""What stands in a scene: codes, sizes and attributes of the ten nuScenes classes, and the clutter that has no label.

Sizes are close to nuScenes' means over its training set (length, width, height in metres); each object's differ from
them by a factor around 1.
"""
CLASSES = ("car", "truck", "construction_vehicle", "bus", "trailer", "barrier", "motorcycle", "bicycle", "pedestrian",
           "traffic_cone")
CLUTTER = ("building", "fence", "pole", "sign", "tree", "bush", "hedge", "box", "bollard", "ego")
CODE = {name: code for code, name in enumerate(CLASSES + CLUTTER)}

# Mean length, width, height and the relative deviation of each.
SIZES = {
    "car": ((4.62, 1.95, 1.73), (0.09, 0.06, 0.10)),
    "truck": ((6.94, 2.52, 2.85), (0.25, 0.12, 0.20)),
    "construction_vehicle": ((6.45, 2.86, 3.21), (0.22, 0.15, 0.15)),
    "bus": ((11.2, 2.95, 3.49), (0.12, 0.04, 0.08)),
    "trailer": ((12.28, 2.92, 3.87), (0.20, 0.06, 0.08)),
    "barrier": ((0.50, 2.51, 0.99), (0.20, 0.15, 0.10)),
    "motorcycle": ((2.10, 0.77, 1.46), (0.10, 0.15, 0.08)),
    "bicycle": ((1.71, 0.61, 1.30), (0.08, 0.15, 0.10)),
    "pedestrian": ((0.73, 0.67, 1.77), (0.15, 0.12, 0.07)),
    "traffic_cone": ((0.41, 0.41, 1.08), (0.20, 0.20, 0.18)),
}


def attribute(name, speed, in_lane):
    """nuScenes' attribute of an object; empty for classes that have none. A vehicle that stands in a lane has stopped;
    elsewhere it is parked."""
    if name in ("barrier", "traffic_cone"):
        return ""
    if name in ("motorcycle", "bicycle"):
        return "cycle.with_rider" if speed > 0.2 else "cycle.without_rider"
    if name == "pedestrian":
        return "pedestrian.moving" if speed > 0.2 else "pedestrian.standing"
    return "vehicle.moving" if speed > 0.2 else "vehicle.stopped" if in_lane else "vehicle.parked"
