"""What the maps should be, how far they are from it, and what boxes they say: CenterNet's targets, losses and decoding.

Boxes are [., 9]: x, y, z, length, width, height, heading (counter-clockwise from x), vx, vy. det3d's maps hold them
turned: dim is the logarithm of width, length, height, and rot the sine and cosine of yaw = -heading - pi / 2.
"""
import math

import torch
import torch.nn.functional as F

from .network import LABELS, STRIDE, TASKS, channel_of

FIRST, CHANNELS = channel_of()
CODE_WEIGHTS = {"reg": 1.0, "height": 1.0, "dim": 1.0, "vel": 0.2, "rot": 1.0}
BOX_WEIGHT = 0.25  # of all regressions beside the heat maps
LEAST_RADIUS, LEAST_OVERLAP = 2, 0.1
TASK_OF = [task for task, names in enumerate(TASKS) for _ in names]
HM_OF = [FIRST[task, "hm"] + i for task, names in enumerate(TASKS) for i in range(len(names))]


def radius(length, width, overlap=LEAST_OVERLAP):
    """Cells that a box's centre may be off so that the two boxes still overlap by `overlap` (CornerNet): the least of
    three cases, each a quadratic equation."""
    total, area = length + width, length * width
    root = lambda a, b, c: (b + torch.sqrt((b * b - 4 * a * c).clamp(min=0))) / 2
    one = root(1, total, area * (1 - overlap) / (1 + overlap))
    two = root(4, 2 * total, (1 - overlap) * area)
    three = root(4 * overlap, -2 * overlap * total, (overlap - 1) * area)
    return torch.minimum(torch.minimum(one, two), three).floor().clamp(min=LEAST_RADIUS)


def make_targets(boxes, labels, frame, batch, grid):
    """Heat maps [batch, classes, y, x]; and of the boxes whose centre is on the map: its frame, cell, label, and the
    values of its task's other maps (a dict)."""
    _, rows, columns = (-(-n // STRIDE) for n in grid.zyx())
    cell = STRIDE * grid.voxel[0]
    at = (boxes[:, :2] - boxes.new_tensor(grid.limits[:2])) / cell
    x, y = at[:, 0].floor().long(), at[:, 1].floor().long()
    on = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    boxes, labels, frame, at, x, y = (t[on] for t in (boxes, labels, frame, at, x, y))
    reach = radius(boxes[:, 3] / cell, boxes[:, 4] / cell)
    heat = boxes.new_zeros(batch * len(LABELS) * rows * columns)
    if len(boxes):
        most = int(reach.max())
        step = torch.arange(-most, most + 1, device=boxes.device)
        dy, dx = (g.flatten()[None] for g in torch.meshgrid(step, step, indexing="ij"))
        sigma = ((2 * reach + 1) / 6)[:, None]
        value = torch.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma))
        near = (dx.abs() <= reach[:, None]) & (dy.abs() <= reach[:, None])
        px, py = x[:, None] + dx, y[:, None] + dy
        near &= (px >= 0) & (px < columns) & (py >= 0) & (py < rows)
        place = ((frame * len(LABELS) + labels)[:, None] * rows + py) * columns + px
        heat.scatter_reduce_(0, place[near], value[near], "amax")
    yaw = -boxes[:, 6] - math.pi / 2
    values = {"reg": at - torch.stack((x, y), 1), "height": boxes[:, 2:3],
              "dim": torch.log(boxes[:, [4, 3, 5]]), "rot": torch.stack((torch.sin(yaw), torch.cos(yaw)), 1),
              "vel": boxes[:, 7:9]}
    return heat.view(batch, len(LABELS), rows, columns), frame, y * columns + x, labels, values


def losses(maps, targets):
    """Heat-map loss and box loss, each summed over the tasks; a dict of floats for the log beside them."""
    heat, frame, cell, labels, values = targets
    maps = maps.float()
    flat = maps.flatten(2)
    p = torch.sigmoid(maps[:, HM_OF]).clamp(1e-4, 1 - 1e-4)
    away = (torch.log(1 - p) * p * p * (1 - heat) ** 4).sum((0, 2, 3))
    task_of = torch.tensor(TASK_OF, device=maps.device)
    task = task_of[labels]
    centre = p.flatten(2)[frame, labels, cell]
    hits = torch.log(centre) * (1 - centre) ** 2
    heat_loss, box_loss, parts = maps.new_zeros(()), maps.new_zeros(()), {}
    for t in range(len(TASKS)):
        mine = torch.nonzero(task == t).flatten()
        negative = away[task_of == t].sum()
        heat_loss = heat_loss - (hits[mine].sum() + negative) / max(len(mine), 1)
        for name, weight in CODE_WEIGHTS.items():
            first, wanted = FIRST[t, name], values[name][mine]
            made = flat[:, first:first + wanted.shape[1]][frame[mine], :, cell[mine]]
            loss = (made - wanted).abs().sum() / (len(mine) + 1e-4)
            box_loss = box_loss + weight * loss
            parts[name] = parts.get(name, 0) + loss.detach()
    return heat_loss, BOX_WEIGHT * box_loss, parts


@torch.no_grad()
def decode(maps, grid, most=83, least=0.05):
    """Boxes that the maps say, as (frame, label, score, box [., 9]): local maxima of the heat maps, the best `most` of
    each task. Octet's decoder takes all cells and suppresses what overlaps; this is the cheap stand-in during training.
    """
    maps = maps.float()
    batch, _, rows, columns = maps.shape
    cell = STRIDE * grid.voxel[0]
    frames, labels, scores, boxes = [], [], [], []
    for t, names in enumerate(TASKS):
        heat = torch.sigmoid(maps[:, FIRST[t, "hm"]:FIRST[t, "hm"] + len(names)])
        heat, label = heat.max(1)
        heat = torch.where(F.max_pool2d(heat[:, None], 3, 1, 1)[:, 0] == heat, heat, torch.zeros_like(heat))
        score, place = heat.flatten(1).topk(min(most, rows * columns))
        frame = torch.arange(batch, device=maps.device)[:, None].expand_as(place)
        take = score > least
        frame, place, score = frame[take], place[take], score[take]
        at = {name: maps.flatten(2)[frame, FIRST[t, name]:, place] for name in CODE_WEIGHTS}
        x = (place % columns + at["reg"][:, 0]) * cell + grid.limits[0]
        y = (torch.div(place, columns, rounding_mode="floor") + at["reg"][:, 1]) * cell + grid.limits[1]
        heading = -torch.atan2(at["rot"][:, 0], at["rot"][:, 1]) - math.pi / 2
        size = torch.exp(at["dim"][:, :3].clamp(max=4))
        boxes.append(torch.stack((x, y, at["height"][:, 0], size[:, 1], size[:, 0], size[:, 2], heading,
                                  at["vel"][:, 0], at["vel"][:, 1]), 1))
        frames.append(frame)
        scores.append(score)
        labels.append(label.flatten(1)[frame, place] + LABELS.index(names[0]))
    return torch.cat(frames), torch.cat(labels), torch.cat(scores), torch.cat(boxes)
