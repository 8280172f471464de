"""Sparse 3D convolutions in plain PyTorch, named and laid out as spconv 2's: for machines without it, and to check it.

A tensor's sites are in ascending order of their key ((batch * Z + z) * Y + y) * X + x. A convolution first lists, for
each tap of its kernel, which input site meets which output site (its rulebook, kept under `indice_key`, as all
submanifold convolutions on the same sites share one); then each tap is a gather, a matrix product and a scattered
addition.
Weights are [out, kz, ky, kx, in].
"""
import math

import torch
from torch import nn


class SparseTensor:
    def __init__(self, features, indices, spatial_shape, batch_size, books=None):
        """features [n, c]; indices [n, 4] int64: batch, z, y, x, in ascending order of their keys."""
        self.features, self.indices = features, indices
        self.spatial_shape, self.batch_size = list(spatial_shape), batch_size
        self.books = {} if books is None else books

    def replace_feature(self, features):
        return SparseTensor(features, self.indices, self.spatial_shape, self.batch_size, self.books)

    def keys(self):
        return keys_of(self.indices, self.spatial_shape)

    def dense(self):
        """[batch, c, z, y, x]"""
        cells = self.batch_size * math.prod(self.spatial_shape)
        flat = self.features.new_zeros(cells, self.features.shape[1])
        flat = flat.index_copy(0, self.keys(), self.features)
        return flat.view(self.batch_size, *self.spatial_shape, -1).permute(0, 4, 1, 2, 3)


def keys_of(indices, shape):
    b, z, y, x = indices.unbind(1)
    return ((b * shape[0] + z) * shape[1] + y) * shape[2] + x


def indices_of(keys, shape):
    x, keys = keys % shape[2], torch.div(keys, shape[2], rounding_mode="floor")
    y, keys = keys % shape[1], torch.div(keys, shape[1], rounding_mode="floor")
    return torch.stack((torch.div(keys, shape[0], rounding_mode="floor"), keys % shape[0], y, x), 1)


class _Conv(nn.Module):
    def __init__(self, cin, cout, kernel, stride=1, padding=0, bias=False, indice_key=None):
        super().__init__()
        three = lambda v: list(v) if isinstance(v, (tuple, list)) else [v] * 3
        self.kernel, self.stride, self.padding = three(kernel), three(stride), three(padding)
        self.indice_key = indice_key
        self.weight = nn.Parameter(torch.empty(cout, *self.kernel, cin))
        self.bias = nn.Parameter(torch.zeros(cout)) if bias else None
        bound = math.sqrt(6 / (cin * math.prod(self.kernel)))
        nn.init.uniform_(self.weight, -bound, bound)

    def taps(self, device):
        ranges = [torch.arange(k, device=device) for k in self.kernel]
        return torch.stack(torch.meshgrid(*ranges, indexing="ij"), -1).view(-1, 3)

    def apply_book(self, x, book, rows):
        weight = self.weight.flatten(1, 3).permute(1, 2, 0)  # [taps, in, out]
        out = None
        for tap, (source, target) in enumerate(book):
            if len(source):
                made = (x.features[source] @ weight[tap]).float()  # (halves in mixed precision; summed as floats)
                out = made.new_zeros(rows, made.shape[1]) if out is None else out
                out = out.index_add(0, target, made)
        if out is None:
            out = x.features.new_zeros(rows, weight.shape[2])
        return out if self.bias is None else out + self.bias


class SubMConv3d(_Conv):
    """The output's sites are the input's."""

    def book(self, x):
        if self.indice_key in x.books:
            return x.books[self.indice_key]
        keys, shape = x.keys(), torch.tensor(x.spatial_shape, device=x.indices.device)
        book = []
        for tap in self.taps(keys.device):
            at = x.indices[:, 1:] + tap - torch.tensor([k // 2 for k in self.kernel], device=keys.device)
            inside = ((at >= 0) & (at < shape)).all(1)
            wanted = keys_of(torch.cat((x.indices[:, :1], at), 1), x.spatial_shape)
            place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
            target = torch.nonzero(inside & (keys[place] == wanted)).flatten()
            book.append((place[target], target))
        x.books[self.indice_key] = book
        return book

    def forward(self, x):
        return x.replace_feature(self.apply_book(x, self.book(x), len(x.features)))


class SparseConv3d(_Conv):
    """The output's sites are all that a site of the input reaches."""

    def forward(self, x):
        shape = [(s + 2 * p - k) // t + 1
                 for s, k, t, p in zip(x.spatial_shape, self.kernel, self.stride, self.padding)]
        device = x.indices.device
        stride, padding = torch.tensor(self.stride, device=device), torch.tensor(self.padding, device=device)
        sources, keys = [], []
        for tap in self.taps(device):
            shifted = x.indices[:, 1:] + padding - tap
            at = torch.div(shifted, stride, rounding_mode="floor")
            reached = ((shifted % stride == 0) & (at >= 0) & (at < torch.tensor(shape, device=device))).all(1)
            source = torch.nonzero(reached).flatten()
            sources.append(source)
            keys.append(keys_of(torch.cat((x.indices[source, :1], at[source]), 1), shape))
        sites, place = torch.unique(torch.cat(keys), return_inverse=True)  # sorted
        book = list(zip(sources, place.split([len(s) for s in sources])))
        out = self.apply_book(x, book, len(sites))
        return SparseTensor(out, indices_of(sites, shape), shape, x.batch_size)
