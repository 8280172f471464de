"""Random numbers by counting: number i of a key is a hash of (key, i), with no state between calls.

A frame's numbers depend on its own key alone, so frame k of a seed is the same in any batch, in any order and on any
device (up to how a device rounds sines). The hash is splitmix64 (Steele, Lea, Flood 2014). int64 stands for uint64:
products wrap in both, and a logical shift is an arithmetic one with the copied sign bits masked away.
"""
import math

import torch


def _signed(x):
    return x - (1 << 64) if x >= 1 << 63 else x


GOLDEN = _signed(0x9E3779B97F4A7C15)
_C1, _C2 = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def _xor_shift(x, n):
    return x ^ ((x >> n) & ((1 << (64 - n)) - 1))


def mix(x):
    """The hash of each int64."""
    x = _xor_shift(x + GOLDEN, 30) * _C1
    x = _xor_shift(x, 27) * _C2
    return _xor_shift(x, 31)


def frame_keys(seed, frames, device):
    """The keys of frames (a list of their numbers) of a seed."""
    numbers = torch.tensor(list(frames), dtype=torch.int64, device=device)
    return mix(mix(torch.full_like(numbers, seed)) + numbers)


def unit(bits):
    """[0, 1), 24 bits, float32."""
    return ((bits >> 40) & 0xFFFFFF).to(torch.float32) * 2.0**-24


def normal_of(bits):
    """Standard normal numbers, one for each hash (Box-Muller, with the hash of the hash as the second number)."""
    radius = torch.sqrt(-2 * torch.log(unit(bits) + 2.0**-25))
    return radius * torch.cos(2 * math.pi * unit(mix(bits)))


class Draws:
    """Numbers for a batch of frames: each call gives [frames, *shape], and the next call others."""
    BLOCK = 4096  # are hashed at a time: few large steps instead of many small ones

    def __init__(self, keys):
        self.keys, self.blocks, self.rest = keys, 0, None

    def _take(self, count):
        """[frames, count] of [0, 1)."""
        if self.rest is None or self.rest.shape[1] < count:
            index = self.blocks * self.BLOCK + torch.arange(max(self.BLOCK, count), device=self.keys.device)
            self.blocks += (len(index) + self.BLOCK - 1) // self.BLOCK
            self.rest = unit(mix(mix(self.keys)[:, None] + index))
        taken, self.rest = self.rest[:, :count], self.rest[:, count:]
        return taken

    def uniform(self, *shape, low=0.0, high=1.0):
        return low + (high - low) * self._take(math.prod(shape)).reshape(len(self.keys), *shape)

    def normal(self, *shape, mean=0.0, deviation=1.0):
        two = self._take(2 * math.prod(shape)).reshape(len(self.keys), 2, *shape)
        return mean + deviation * torch.sqrt(-2 * torch.log(two[:, 0] + 2.0**-25)) * torch.cos(2 * math.pi * two[:, 1])

    def chance(self, probability, *shape):
        return self.uniform(*shape) < probability

    def sign(self, *shape):
        return torch.where(self.chance(0.5, *shape), 1.0, -1.0)

    def below(self, n, *shape):
        return torch.floor(self.uniform(*shape) * n)
