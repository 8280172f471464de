"""Training with the runtime's rounding in the forward pass (calib/QUANTIZATION.md), from calibrated ranges.

Batch-norms are folded first. Then every edge that octet keeps as integers is rounded and clamped as its rule 2 has it
and turned back into reals; weights have a step for each output channel (rule 3), biases that of the products (rule 4).
Gradients pass through the rounding, and stop where a value was clipped. The steps of edges stay as calibrated.
"""
import json
import math

import torch
from torch import nn
from torch.nn.utils import parametrize

MOST = 127  # of a weight, and of an edge's 8 bits


def rounded(x, step, low=-MOST, high=MOST):
    """Rule 2 and back again: what q * step is, as a function that gradients pass."""
    inverse = (1.0 / step.double()).float()
    value = torch.round(torch.clamp(x * inverse, low, high)) * step
    clipped = torch.maximum(torch.minimum(x, high * step), low * step)
    return clipped + (value - clipped).detach()


class EdgeRounding(nn.Module):
    """`relu`: also the ReLU before it (rule 8). (The network's input has 16 bits; `low` and `high` are the ranges'.)"""

    def __init__(self, step, relu, low=-MOST, high=MOST):
        super().__init__()
        self.register_buffer("step", torch.tensor(step, dtype=torch.float32), persistent=False)
        self.low, self.high = 0 if relu else low, high

    def forward(self, x):
        return rounded(x.float(), self.step, self.low, self.high).to(x.dtype)


class AddRounding(nn.Module):
    """Rule 11 and a ReLU: integers times multipliers of 16 significant bits, so that the products are exact."""

    def __init__(self, step_a, step_b, step_out):
        super().__init__()
        self.steps, self.step = (step_a, step_b), step_out
        self.multipliers = [self.multiplier(s, step_out) for s in self.steps]

    @staticmethod
    def multiplier(step_in, step_out):
        mantissa, exponent = math.frexp(step_in / step_out)
        return math.ldexp(round(mantissa * 2**16), exponent - 16)

    def forward(self, a, b):
        terms = [torch.round(x.detach().float() / s) * m for x, s, m in zip((a, b), self.steps, self.multipliers)]
        value = torch.round(torch.clamp(terms[0] + terms[1], 0, MOST)) * self.step
        clipped = torch.clamp(a.float() + b.float(), 0, MOST * self.step)
        return (clipped + (value - clipped).detach()).to(a.dtype)


class WeightRounding(nn.Module):
    def __init__(self, conv, step_in):
        super().__init__()
        self.axis = 1 if isinstance(conv, nn.ConvTranspose2d) else 0  # of the output channels
        self.step_in = step_in
        self.bias = [conv]  # in a list: not a sub-module

    def steps(self, weight):
        """Rule 3, one a channel."""
        bias = bias_of(self.bias[0]).detach().double()
        amax = weight.detach().transpose(0, self.axis).flatten(1).abs().amax(1).double()
        step = torch.maximum(amax / MOST, bias.abs() / (self.step_in * 2.0**29)).float()
        return torch.where(step < torch.finfo(torch.float32).tiny, torch.ones_like(step), step)

    def forward(self, weight):
        shape = [1] * weight.dim()
        shape[self.axis] = -1
        return rounded(weight, self.steps(weight).view(shape))


class BiasRounding(nn.Module):
    """Rule 4."""

    def __init__(self, conv):
        super().__init__()
        self.conv = [conv]

    def forward(self, bias):
        weights = self.conv[0].parametrizations.weight
        unit = weights[0].step_in * weights[0].steps(weights.original).double()
        value = (torch.round(bias.double() / unit) * unit).float()
        return bias + (value - bias).detach()


def bias_of(conv):
    if parametrize.is_parametrized(conv, "bias"):
        return conv.parametrizations.bias.original
    return conv.bias


@torch.no_grad()
def fold(conv, norm):
    """conv's weight and bias with the batch-norm in them, computed in double and rounded once."""
    gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shape = [1] * conv.weight.dim()
    shape[1 if isinstance(conv, nn.ConvTranspose2d) else 0] = -1
    before = 0 if conv.bias is None else conv.bias.double()
    bias = (before - norm.running_mean.double()) * gain + norm.bias.double()
    conv.weight.copy_((conv.weight.double() * gain.view(shape)).float())
    conv.bias = nn.Parameter(bias.float())


class Quantised:
    """Changes the network in place; `part` "encoder" leaves neck and heads in floating point."""

    def __init__(self, network, ranges, part="all"):
        with open(ranges) as f:
            found = json.load(f)
        self.ranges, self.network, self.pairs, self.last = found, network, [], []
        self.edges = {edge["name"]: edge for edge in self._edges(found)}
        self.encoder(network.backbone, part == "all")
        if part == "all":
            self.heads(network.bbox_head, self.neck(network.neck, "backbone.extra_conv.0"))

    @staticmethod
    def _edges(found):
        if found.get("scheme", "symmetric") != "symmetric":
            raise SystemExit("--qat takes symmetric ranges")
        return found["edges"]

    def step(self, edge):
        if edge not in self.edges:
            raise SystemExit(f"the ranges have no {edge}")
        return float(self.edges[edge]["step"])

    def edge(self, name, relu, device):
        step = self.step(name)
        return EdgeRounding(step, relu, self.edges[name]["lo"], self.edges[name]["hi"]).to(device)

    def weights(self, conv, step_in):
        parametrize.register_parametrization(conv, "weight", WeightRounding(conv, step_in))
        parametrize.register_parametrization(conv, "bias", BiasRounding(conv))

    def conv(self, holder, keys, name, step_in, relu=True, out=True):
        """Folds holder's convolution and batch-norm (by keys); rounds its weights and, with `out`, what follows."""
        get = (lambda k: holder[k]) if isinstance(holder, nn.ModuleDict) else (lambda k: getattr(holder, k))
        conv, norm = get(keys[0]), get(keys[1])
        had_bias = conv.bias is not None
        fold(conv, norm)
        device = conv.weight.device
        self.weights(conv, step_in)
        after = self.edge(name, relu, device) if out else nn.Identity()
        if isinstance(holder, nn.ModuleDict):
            holder[keys[1]] = after
        else:
            setattr(holder, keys[1], after)
        prefix = {id(m): n for n, m in self.network.named_modules()}[id(holder)]
        self.pairs.append((conv, f"{prefix}.{keys[0]}", f"{prefix}.{keys[1]}", had_bias, norm.eps))
        return self.step(name) if out else None

    def block(self, block, name, step_in):
        middle = self.conv(block, ("conv1", "bn1"), f"{name}.conv1", step_in)
        last = self.conv(block, ("conv2", "bn2"), f"{name}.conv2", middle, relu=False)
        step_out = self.step(f"{name}.add")
        block.add = AddRounding(last, step_in, step_out)
        return step_out

    def triple(self, triple, name, step, out=True):
        step = self.conv(triple, ("0", "1"), f"{name}.0", step, out=out)
        for key in list(triple)[2:]:
            step = self.block(triple[key], f"{name}.{key}", step)
        return step

    def encoder(self, encoder, out):
        encoder.before = self.edge("voxels", False, encoder.conv_input["0"].weight.device)
        step = self.triple(encoder.conv_input, "backbone.conv_input", self.step("voxels"))
        for i, block in enumerate(encoder.conv1):
            step = self.block(block, f"backbone.conv1.{i}", step)
        for name in ("conv2", "conv3", "conv4"):
            step = self.triple(getattr(encoder, name), f"backbone.{name}", step)
        self.triple(encoder.extra_conv, "backbone.extra_conv", step, out)

    def sequence(self, sequence, name, step):
        keys = list(sequence)
        for pair in zip(keys[::2], keys[1::2]):
            step = self.conv(sequence, pair, f"{name}.{pair[0]}", step)
        return step

    def neck(self, neck, edge):
        fine = self.sequence(neck.blocks[0], "neck.blocks.0", self.step(edge))
        coarse = self.sequence(neck.blocks[1], "neck.blocks.1", fine)
        ends = [self.sequence(neck.deblocks[i], f"neck.deblocks.{i}", step) for i, step in enumerate((fine, coarse))]
        wide = max(ends)  # rule 10: the concatenation takes the widest step of its inputs
        device = neck.blocks[0]["1"].weight.device
        for i, step in enumerate(ends):
            neck.join[i] = nn.Identity() if step == wide else EdgeRounding(wide, True).to(device)
        return wide

    def heads(self, head, step):
        step = self.sequence(head.shared_conv, "bbox_head.shared_conv", step)
        for t, task in enumerate(head.tasks):
            for name in task:
                prefix = f"bbox_head.tasks.{t}.{name}"
                middle = self.conv(task[name], ("0", "1"), f"{prefix}.0", step)
                self.weights(task[name]["3"], middle)  # its sums leave as floats (rule 13)
                self.last.append((task[name]["3"], f"{prefix}.3"))

    @torch.no_grad()
    def official(self):
        """A state dictionary with the official 557 keys that octet folds and rounds to the same integers: weights on
        their grids, biases in batch-norms that do nothing else. (As float16 the integers of the weights stay; their
        steps move by up to 2^-11.)"""
        state = {name: tensor for name, tensor in self.network.state_dict().items() if "parametrizations" not in name}
        for conv, at, norm, had_bias, eps in self.pairs:
            bias = bias_of(conv)
            state[f"{at}.weight"] = conv.weight
            if had_bias:
                state[f"{at}.bias"] = torch.zeros_like(bias)
            state[f"{norm}.weight"] = torch.full_like(bias, math.sqrt(1 + eps))
            state[f"{norm}.bias"] = bias
            state[f"{norm}.running_mean"], state[f"{norm}.running_var"] = torch.zeros_like(bias), torch.ones_like(bias)
            state[f"{norm}.num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
        for conv, at in self.last:
            state[f"{at}.weight"], state[f"{at}.bias"] = conv.weight, bias_of(conv)
        return state
