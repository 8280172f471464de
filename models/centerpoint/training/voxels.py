"""From points to voxels, on any device, as octet's kernels/voxelise.h has it."""
from dataclasses import dataclass

import torch

from .network import grid_of


@dataclass(frozen=True)
class Grid:
    """limits: x, y, z from; x, y, z to (metres). Octet's "range"."""
    limits: tuple = (-54.0, -54.0, -5.0, 54.0, 54.0, 3.0)
    voxel: tuple = (0.075, 0.075, 0.2)
    most_points: int = 10

    def zyx(self):
        return grid_of(self.limits, self.voxel)


def voxelise(points, frame, grid, exact=False):
    """points [n, 5], frame [n] (which of the batch) -> features [voxels, 5], indices [voxels, 4] (batch, z, y, x),
    sites ascending.

    Of a voxel's points the first `most_points` count; the order is the file's, or with `exact` octet's: by the bits of
    x, then of y, z, intensity and lag, so that the voxel is the same whatever the order of the points.
    """
    low = torch.tensor(grid.limits[:3], dtype=torch.float64, device=points.device)
    size = torch.tensor(grid.voxel, dtype=torch.float64, device=points.device)
    shape = grid.zyx()
    cell = torch.floor((points[:, :3].double() - low) / size)
    most = torch.tensor([shape[2], shape[1], shape[0] - 1], dtype=torch.float64, device=points.device)
    inside = torch.nonzero(((cell >= 0) & (cell < most)).all(1)).flatten()
    points, cell, frame = points[inside], cell[inside].long(), frame[inside]
    key = ((frame * shape[0] + cell[:, 2]) * shape[1] + cell[:, 1]) * shape[2] + cell[:, 0]
    order = torch.arange(len(key), device=key.device)
    if exact:
        for column in (4, 3, 2, 1, 0):
            bits = points[order, column].contiguous().view(torch.int32).long() & 0xFFFFFFFF
            order = order[torch.sort(bits, stable=True)[1]]
    order = order[torch.sort(key[order], stable=True)[1]]
    sites, place, count = torch.unique_consecutive(key[order], return_inverse=True, return_counts=True)
    rank = torch.arange(len(order), device=key.device) - (count.cumsum(0) - count)[place]
    kept = torch.nonzero(rank < grid.most_points).flatten()
    sums = torch.zeros(len(sites), 5, device=points.device)
    sums.index_add_(0, place[kept], points[order[kept]])
    features = sums / count.clamp(max=grid.most_points)[:, None]
    x, rest = sites % shape[2], torch.div(sites, shape[2], rounding_mode="floor")
    y, rest = rest % shape[1], torch.div(rest, shape[1], rounding_mode="floor")
    z, b = rest % shape[0], torch.div(rest, shape[0], rounding_mode="floor")
    return features, torch.stack((b, z, y, x), 1)
