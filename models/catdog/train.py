#!/usr/bin/env python3
"""Trains the cat/dog network that Octet ships, by long distillation from a much larger network.

The network is small (517,130 parameters, 20 thousand of them in convolutions): what limits it is how well and how long
it is led. So there is a teacher, EfficientNet-Lite0 with ImageNet weights fine-tuned on the same photos (nothing of it is
shipped); both see the *same* distorted view of a photo, a row of uniform numbers made from a seed, so that the teacher's
answers to a few dozen views of every photo are computed once and the student can run for hundreds of epochs; and all
photos stay on the GPU as bytes, where the large convolutions run in a form that tensor cores like (see `fast_stage`).

Six steps, each a sub-command; `student` goes on where it stopped when its --out exists:
  train.py decode    --photos TAR_OR_FOLDER... --out WORK          photos -> WORK.npy, WORK.txt (224x224 bytes)
  train.py teacher   --data WORK --weights LITE0.pth --out teacher.pt
  train.py views     --data WORK --teacher teacher.pt --out views.pt
  train.py student   --data WORK --targets views.pt... --out student.pt [--minutes M]
  train.py quantized --data WORK --targets views.pt... --start student.pt --out tuned.pt     optional, see `int8_logits`
  train.py finish    --data WORK --student student.pt --out catdog.safetensors --figures figures.json

--epochs is the length of the schedule; a leg ends after --minutes, or after epoch --until, if not 0. --mild-end: the last
share of the epochs, with mild views only; --hard: weight of a photo's own label; --spread: of the activations' peaks.
Photos are named like Kaggle's: `cat.N.*` (class 0) and `dog.N.*` (class 1). Ids 12000-12499 of both never train anything;
every choice is made on them. Needs PyTorch, NumPy, Pillow, safetensors and one CUDA GPU with 16 GB; several `--targets`
files (one per teacher, same `--view-seed`) are averaged.
"""
import argparse
import copy
import functools
import glob
import io
import json
import math
import multiprocessing
import os
import tarfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

SIZE = 224
CHECK_IDS = range(12000, 12500)  # both classes: 1,000 photos that only ever measure
TEST_IDS = range(3500, 3850)  # the public test photos: refused, so that nothing here can have seen them
SHIFT, SCALE = 120.0, 64.0  # the student trains on (pixel - SHIFT) / SCALE; `raw_network` folds that away again
DRAWS = 13  # uniform numbers that describe one view
MILD = 0.25  # strength of the last quarter of the views, beside 1 for the others
EDGES = ("input", "cv1", "cv2", "cv3", "cv4", "fc1", "fc2")
STARTED = time.time()
lite_norm = functools.partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)  # the teacher's


def minutes():
    return (time.time() - STARTED) / 60


def read_photos(sources):
    """Yields (file name, file contents) of every photo in tar files and folders."""
    for source in sources:
        if os.path.isdir(source):
            for path in sorted(glob.glob(os.path.join(source, "**", "*.*"), recursive=True)):
                yield os.path.basename(path), open(path, "rb").read()
        else:
            with tarfile.open(source) as tar:
                for member in tar:
                    if member.isfile():
                        yield os.path.basename(member.name), tar.extractfile(member).read()


def decode_photo(item):
    """The preprocessing that Octet reproduces: RGB, Pillow's bicubic filter to 224x224, no crop, no normalisation."""
    name, contents = item
    image = Image.open(io.BytesIO(contents)).convert("RGB").resize((SIZE, SIZE), Image.BICUBIC)
    return name, np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def photo_id(name):
    """N of cat.N.webp; names of other sources, such as Oxford's cat.Abyssinian_1.jpg, have none and raise."""
    return int(name.split(".")[1])


def decode(args):
    with multiprocessing.Pool() as pool:
        photos = list(pool.imap(decode_photo, read_photos(args.photos), chunksize=32))
    refused = [name for name, _ in photos if not name.startswith(("cat.", "dog.")) or photo_id(name) in TEST_IDS]
    if refused:
        raise SystemExit(f"{len(refused)} photos are not training photos, such as {refused[0]}")
    photos.sort(key=lambda photo: photo[0])  # the order must not depend on how the photos were packed
    np.save(args.out + ".npy", np.stack([pixels for _, pixels in photos]))
    open(args.out + ".txt", "w").write("\n".join(name for name, _ in photos))
    print(f"decoded {len(photos)} photos")


def load_photos(path, part="all"):
    """(images, labels) on the GPU. Part: 'train', 'check' (the held-out ids) or 'all'."""
    images = torch.from_numpy(np.load(path + ".npy"))
    names = open(path + ".txt").read().split("\n")
    if part != "all":
        held_out = torch.tensor([photo_id(name) in CHECK_IDS for name in names])
        chosen = held_out if part == "check" else ~held_out
        images, names = images[chosen], [name for name, keep in zip(names, chosen.tolist()) if keep]
    labels = torch.tensor([0 if "cat" in name else 1 for name in names])
    return images.cuda(), labels.cuda()


def view_draws(count, views, seed):
    """The uniform numbers of every view of every photo (views x count x DRAWS): all that is needed to make it again."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(views, count, DRAWS, generator=generator).cuda()


def view_strengths(views):
    """Most views are at full strength; the last quarter is mild, for the end of training (see `student`)."""
    return torch.tensor([1.0 if view < views - views // 4 else MILD for view in range(views)]).cuda()


@torch.compile
def recolour(images, u, s):
    """Contrast, brightness, saturation, colour cast and sharpness, in place of knowing which camera comes."""
    u, s = u[:, :, None, None, None].unbind(1), s[:, None, None, None]
    # Photos come enlarged from 184 pixels; users' photos are mostly shrunk from thousands, hence sharper.
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    images = images + s * (2.4 * u[12] - 0.8) * (images - blurred)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (1 + 1.2 * s * (u[8] - 0.5)) * (images - grey)
    images = images * torch.exp(0.3 * s * (torch.cat(u[9:12], dim=1) - 0.5))
    images = (images - 128) * torch.exp(0.6 * s * (u[6] - 0.5)) + 128 + 60 * s * (u[7] - 0.5)
    return images.clamp(0, 255)


def make_views(images, u, s):
    """One distorted view of each photo (bytes in, 0..255 floats out), a function of the draws `u` and strengths `s`.

    At strength 1 the window covers 0.5 to 1.2 of the photo's area (beyond its edges the photo is mirrored: an object
    may also be smaller than it ever was), with sides in 0.8 to 1.25, turned by up to 9 degrees, flipped or not.
    """
    area = 1 + s * (0.7 * u[:, 0] - 0.5)
    aspect = torch.exp(s * 0.45 * (u[:, 1] - 0.5))
    width, height = (area * aspect).sqrt(), (area / aspect).sqrt()
    angle = s * 0.3 * (u[:, 4] - 0.5)
    flip = torch.where(u[:, 5] < 0.5, -1.0, 1.0)
    x_axis = torch.stack([flip * width * angle.cos(), -height * angle.sin(), (1 - width) * (2 * u[:, 2] - 1)], dim=1)
    y_axis = torch.stack([flip * width * angle.sin(), height * angle.cos(), (1 - height) * (2 * u[:, 3] - 1)], dim=1)
    grid = F.affine_grid(torch.stack([x_axis, y_axis], dim=1), list(images.shape), align_corners=False)
    images = F.grid_sample(images.float(), grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return recolour(images, u, s)


class CatDog(nn.Module):
    """The notebook's network. Batch-norm follows each convolution; nothing is applied between fc1 and fc2."""

    def __init__(self, shift=0.0, scale=1.0):
        super().__init__()
        for i, (inputs, outputs, kernel) in enumerate([(3, 16, 5), (16, 32, 5), (32, 16, 3), (16, 8, 3)], start=1):
            setattr(self, f"cnn{i}", nn.Conv2d(inputs, outputs, kernel))
            setattr(self, f"bn{i}", nn.BatchNorm2d(outputs))
        self.fc1 = nn.Linear(8 * 11 * 11, 512)
        self.fc2 = nn.Linear(512, 2)
        self.shift, self.scale = shift, scale

    def stages(self):
        return [(getattr(self, f"cnn{i}"), getattr(self, f"bn{i}")) for i in range(1, 5)]

    def forward(self, x):
        x = (x - self.shift) / self.scale
        for conv, norm in self.stages():
            x = F.max_pool2d(F.relu(norm(conv(x))), 2)
        return self.fc2(self.fc1(x.flatten(1)))


def new_student(seed):
    torch.manual_seed(seed)
    net = CatDog(SHIFT, SCALE)
    for conv, _ in net.stages():
        nn.init.kaiming_normal_(conv.weight)
        nn.init.zeros_(conv.bias)
        conv.bias.requires_grad_(False)  # batch-norm takes any constant away again, so the bias would only drift
    return net.cuda().to(memory_format=torch.channels_last)


def normalize(x, norm):
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, True, norm.momentum, norm.eps)


def fast_stage(x, conv, norm):
    """conv 5x5 -> batch-norm -> ReLU -> max-pool 2x2 for training, in a form with many channels and few pixels.

    A 2x2 block of pixels becomes one pixel of four times the channels, on both sides of the convolution: the 5x5
    kernel, at each of its four places inside a 6x6 frame, becomes four kernels of 3x3. Tensor cores then see 16 -> 64
    and 64 -> 128 channels instead of 3 -> 16 and 16 -> 32, and the pool is a maximum over four channels.
    """
    kernels = torch.cat([F.pad(conv.weight, (i, 1 - i, j, 1 - j)) for j in (0, 1) for i in (0, 1)])
    if x.shape[1] == 3:  # a fourth, empty colour: channel counts should be multiples of 8
        x, kernels = F.pad(x, (0, 0, 0, 0, 0, 1)), F.pad(kernels, (0, 0, 0, 0, 0, 1))
    y = F.conv2d(F.pixel_unshuffle(x, 2), F.pixel_unshuffle(kernels, 2)).permute(0, 2, 3, 1)
    n, height, width, _ = y.shape
    y = y.reshape(n, height, width * 4, -1).permute(0, 3, 1, 2)  # the four places side by side: one set of statistics
    y = F.relu(normalize(y, norm)).permute(0, 2, 3, 1)
    return y.reshape(n, height, width, 4, -1).amax(dim=3).permute(0, 3, 1, 2)


@torch.compile
def training_forward(net, x):
    """What CatDog.forward computes in training mode, in bfloat16 and the fast form."""
    with torch.autocast("cuda", torch.bfloat16):
        x = ((x - net.shift) / net.scale).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        x = fast_stage(x, net.cnn1, net.bn1)
        x = fast_stage(x, net.cnn2, net.bn2)
        for conv, norm in net.stages()[2:]:
            x = F.max_pool2d(F.relu(normalize(F.conv2d(x, conv.weight), norm)), 2)
    return net.fc2(net.fc1(x.float().flatten(1)))


def distillation_loss(logits, target, label, args):
    """Student and teacher are one number each, dog minus cat."""
    z, t = logits[:, 1] - logits[:, 0], args.temperature
    soft = F.binary_cross_entropy_with_logits(z / t, torch.sigmoid(target / t))
    return (1 - args.hard) * t * t * soft + args.hard * F.binary_cross_entropy_with_logits(z, label)


class Average:
    """An exponential moving average of weights and batch-norm statistics: what is measured and shipped."""

    def __init__(self, net, decay):
        self.net, self.decay = copy.deepcopy(net).eval(), decay
        self.pairs = [(a, b) for a, b in zip(self.net.state_dict().values(), net.state_dict().values())
                      if a.is_floating_point()]

    @torch.no_grad()
    def update(self, step):
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_([a for a, _ in self.pairs], [b for _, b in self.pairs], weight)


def optimizer_for(net, rate, decay):
    """AdamW; batch-norm and biases do not decay."""
    used = [p for p in net.parameters() if p.requires_grad]
    groups = [{"params": [p for p in used if (p.ndim > 1) == matrix], "weight_decay": decay * matrix}
              for matrix in (True, False)]
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def set_rate(optimizer, rate, progress, warm_up=0.03):
    """Linear warm-up, then a half cosine down to zero."""
    factor = 0.5 + 0.5 * math.cos(math.pi * (progress - warm_up) / (1 - warm_up))
    factor = progress / warm_up if progress < warm_up else factor
    for group in optimizer.param_groups:
        group["lr"] = rate * max(factor, 1e-3)


def descend(loss, optimizer, average, step):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    average.update(step)
    return loss.detach()


@torch.no_grad()
def logits_of(forward, images):
    return torch.cat([forward(part.float()) for part in images.split(100)])


def top1(logits, labels):
    return round(100 * (logits.argmax(1) == labels).float().mean().item(), 3)


def report(where, loss, average, check):
    logits = logits_of(average.net, check[0])
    print(f"{where}: loss {loss:.4f}, held-out photos {top1(logits, check[1])} %, "
          f"loss {F.cross_entropy(logits, check[1]):.4f}, {minutes():.1f} minutes", flush=True)


class SameConv(nn.Conv2d):
    """TensorFlow's 'same' padding: with stride 2 the odd pixel is added at the right and the bottom."""

    def forward(self, x):
        total = max(self.kernel_size[0] - self.stride[0], 0)
        x = F.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)


class LiteBlock(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expand):
        super().__init__()
        hidden = inputs * expand
        self.expands, self.skips = expand > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = SameConv(inputs, hidden, 1, bias=False), lite_norm(hidden)
        self._depthwise_conv = SameConv(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self._bn1 = lite_norm(hidden)
        self._project_conv, self._bn2 = SameConv(hidden, outputs, 1, bias=False), lite_norm(outputs)

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.skips else y


class Lite0(nn.Module):
    """EfficientNet-Lite0, with the names of the published PyTorch weights."""
    TABLE = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
             (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))  # repeats, kernel, stride of the first, expansion, channels

    def __init__(self, classes):
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), lite_norm(32)
        blocks, channels = [], 32
        for repeats, kernel, stride, expand, outputs in self.TABLE:
            for i in range(repeats):
                blocks.append(LiteBlock(channels, outputs, kernel, stride if i == 0 else 1, expand))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(channels, 1280, 1, bias=False), lite_norm(1280)
        self._fc = nn.Linear(1280, classes)

    def forward(self, x):
        with torch.autocast("cuda", torch.bfloat16):
            x = ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
            x = F.relu6(self._bn0(self._conv_stem(x)))
            for block in self._blocks:
                x = block(x)
            x = F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
            return self._fc(F.dropout(x, 0.2, self.training)).float()


def teacher(args):
    torch.manual_seed(args.seed)
    images, labels = load_photos(args.data, "train")
    check = load_photos(args.data, "check")
    net = Lite0(1000)
    net.load_state_dict(torch.load(args.weights, map_location="cpu", weights_only=True))
    net._fc = nn.Linear(1280, 2)  # ImageNet's 1000 classes give way to two
    net = net.cuda().to(memory_format=torch.channels_last)
    average, optimizer = Average(net, 0.998), optimizer_for(net, args.rate, 0.02)
    steps, step = len(images) // args.batch, 0
    for epoch in range(args.epochs):
        total = 0.0
        for chosen in torch.randperm(len(images), device="cuda")[:steps * args.batch].split(args.batch):
            set_rate(optimizer, args.rate, step / (steps * args.epochs), 0.1)
            u = torch.rand(args.batch, DRAWS, device="cuda")
            x = make_views(images[chosen], u, torch.ones(args.batch, device="cuda"))
            loss = F.cross_entropy(net(x), labels[chosen])
            total += descend(loss, optimizer, average, step)
            step += 1
        report(f"teacher {epoch + 1}/{args.epochs}", total / steps, average, check)
    torch.save({"net": average.net.state_dict()}, args.out)


def views(args):
    """The teacher's answers (dog minus cat) to `--views` views of every training photo."""
    images, _ = load_photos(args.data, "train")
    net = Lite0(2).cuda().to(memory_format=torch.channels_last).eval()
    net.load_state_dict(torch.load(args.teacher, weights_only=True)["net"])
    draws, strengths = view_draws(len(images), args.views, args.view_seed), view_strengths(args.views)
    answers = torch.zeros(args.views, len(images), device="cuda")
    with torch.no_grad():
        for view in range(args.views):
            for first in range(0, len(images), 1000):
                chosen = torch.arange(first, first + 1000, device="cuda").clamp(max=len(images) - 1)
                x = make_views(images[chosen], draws[view, chosen], strengths[view].expand(1000))
                y = net(x)
                answers[view, chosen] = y[:, 1] - y[:, 0]
    torch.save({"answers": answers.cpu(), "view_seed": args.view_seed}, args.out)
    print(f"{args.views} views of {len(images)} photos, {minutes():.1f} minutes")


class Lesson:
    """Photos, their views and the teacher's answers, on the GPU."""

    def __init__(self, args):
        self.images, labels = load_photos(args.data, "train")
        self.labels = labels.float()
        self.check = load_photos(args.data, "check")
        files = [torch.load(path, weights_only=True) for path in args.targets]
        self.answers = torch.stack([file["answers"] for file in files]).mean(0).cuda()
        self.views = len(self.answers)
        self.draws = view_draws(len(self.images), self.views, files[0]["view_seed"])
        self.strengths = view_strengths(self.views)

    def batches(self, batch, seed, mild):
        """(view, teacher's answer, label) of a whole epoch; every photo with a view of its own, drawn anew."""
        count = len(self.images)
        generator = torch.Generator("cuda").manual_seed(seed)
        order = torch.randperm(count, device="cuda", generator=generator)
        first = self.views - self.views // 4 if mild else 0
        view = torch.randint(first, self.views, (count,), device="cuda", generator=generator)
        for chosen in order[:count - count % batch].split(batch):
            v = view[chosen]
            x = make_views(self.images[chosen], self.draws[v, chosen], self.strengths[v])
            yield x, self.answers[v, chosen], self.labels[chosen]


def leg_is_over(args, epoch):
    """After --minutes, or after epoch --until (0: never), whatever the schedule's length."""
    return epoch + 1 == args.until or 0 < args.minutes < minutes()


def student(args):
    lesson, net = Lesson(args), new_student(args.seed)
    average, optimizer = Average(net, 0.999), optimizer_for(net, args.rate, args.decay)
    steps, first, before = len(lesson.images) // args.batch, 0, 0.0
    if os.path.exists(args.out):
        saved = torch.load(args.out, weights_only=True)
        for part, key in ((net, "net"), (average.net, "average"), (optimizer, "optimizer")):
            part.load_state_dict(saved[key])
        first, before = saved["epoch"], saved["minutes"]
    for epoch in range(first, args.epochs):
        total = 0.0
        # The end sees mild views only: the statistics and the last percent then belong to whole, undistorted photos.
        mild = epoch >= args.epochs * (1 - args.mild_end)
        for i, (x, target, label) in enumerate(lesson.batches(args.batch, args.seed * 100003 + epoch, mild)):
            set_rate(optimizer, args.rate, (epoch + i / steps) / args.epochs)
            loss = distillation_loss(training_forward(net, x), target, label, args)
            total += descend(loss, optimizer, average, epoch * steps + i)
        pause = leg_is_over(args, epoch)
        if epoch % args.every == args.every - 1 or pause or epoch + 1 == args.epochs:
            report(f"epoch {epoch + 1}/{args.epochs}", total / steps, average, lesson.check)
            torch.save({"net": net.state_dict(), "average": average.net.state_dict(), "epoch": epoch + 1,
                        "optimizer": optimizer.state_dict(), "minutes": before + minutes(), "seed": args.seed},
                       args.out)
        if pause:
            return print("paused; the same command goes on from here")


def raw_network(net):
    """The same function on raw 0..255 pixels. Exact up to rounding, because the first convolution has no padding."""
    raw = CatDog().to(next(net.parameters()).device)
    raw.load_state_dict(net.state_dict())
    weight = net.cnn1.weight.double() / net.scale
    with torch.no_grad():
        raw.cnn1.weight.copy_(weight)
        raw.cnn1.bias.copy_(net.cnn1.bias.double() - net.shift * weight.sum((1, 2, 3)))
    return raw.eval()


def folded(net):
    """[(weight, bias)] of the six layers on raw pixels, batch-norm folded in; gradients pass."""
    layers = []
    for i, (conv, norm) in enumerate(net.stages()):
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight, bias = conv.weight * gain[:, None, None, None], conv.bias * gain + norm.bias - norm.running_mean * gain
        if i == 0:
            weight = weight / net.scale
            bias = bias - net.shift * weight.sum((1, 2, 3))
        layers.append((weight, bias))
    return layers + [(net.fc1.weight, net.fc1.bias), (net.fc2.weight, net.fc2.bias)]


def apply_layer(i, x, weight, bias):
    """Layer i without ReLU and pool: four convolutions, then two linear layers."""
    return F.conv2d(x, weight, bias) if i < 4 else F.linear(x.flatten(1), weight, bias)


@torch.no_grad()
def absolute_ranges(net, images):
    """The abs-max of the seven edges; the convolutions' after ReLU and before the pool. Never below 1."""
    ranges, layers = {edge: 1.0 for edge in EDGES}, folded(net)
    for part in images.split(100):
        x = part.float()
        for i, edge in enumerate(EDGES):
            ranges[edge] = max(ranges[edge], x.abs().max().item())
            if i < len(layers):
                x = apply_layer(i, F.max_pool2d(x, 2) if 1 <= i <= 4 else x, *layers[i])
                x = F.relu(x) if i < 4 else x
    return ranges


def round_through(x):
    return x + (x.round() - x).detach()


def int8_logits(layers, ranges, x, channel, clip_bias, spreads=None):
    """The integer network on whole numbers held in floats; gradients pass straight through the roundings.

    channel: weights scaled per output channel, else per tensor. clip_bias: biases clipped to 16 bits as the notebook
    does. spreads: a list that gets each layer's mean log of peak over root mean square; peaks set abs-max ranges.
    """
    s_in = 127 / ranges["input"]
    q = round_through(x.to(layers[0][0].dtype) * s_in).clamp(-127, 127)
    for i, (weight, bias) in enumerate(layers):
        amax = weight.detach().abs().flatten(1).amax(1) if channel else weight.detach().abs().max().expand(len(weight))
        s_w = 127 / amax
        q_weight = round_through(weight * s_w.reshape(-1, *[1] * (weight.ndim - 1)))
        q_bias = round_through(bias * s_w * s_in)
        acc = apply_layer(i, q, q_weight, q_bias.clamp(-32767, 32767) if clip_bias else q_bias)
        s_acc = (s_in * s_w).reshape(1, -1, *[1] * (acc.ndim - 2))
        acc = F.relu(acc) if i < 4 else acc
        if spreads is not None:
            real = acc / s_acc
            spreads.append((real.abs().flatten(1).amax(1) + 1e-6).log().mean() - 0.5 * real.square().mean().log())
        s_out = 127 / ranges[EDGES[i + 1]]
        q = round_through(acc * s_out / s_acc).clamp(-127, 127)
        q = F.max_pool2d(q, 2) if i < 4 else q
        s_in = s_out
    return q / s_in


def int8_figures(net, calibration, images, labels):
    """Top-1 of FP32 and of three INT8 forms, in percent; the integers in float64, where every sum is exact."""
    layers = [(weight.detach().double(), bias.detach().double()) for weight, bias in folded(net)]
    integer = functools.partial(int8_logits, layers, absolute_ranges(net, calibration))
    forms = {"fp32": net, "int8_per_channel": functools.partial(integer, channel=True, clip_bias=False),
             "int8_per_tensor": functools.partial(integer, channel=False, clip_bias=False),
             "int8_notebook_16_bit_bias": functools.partial(integer, channel=False, clip_bias=True)}
    return {name: top1(logits_of(forward, images), labels) for name, forward in forms.items()}


@torch.no_grad()
def settle_ties(net, ranges):
    """Rewrites fc2 so that its int8 logits differ whenever the float ones clearly do; dog minus cat stays the same.

    The two rows become opposites, which no loss here would mind, and both logits are lifted by half an int8 step: their
    roundings then change over exactly where the float logits cross. Without the lift both round to 0 around there.
    """
    half = (net.fc2.weight[1] - net.fc2.weight[0]) / 2, (net.fc2.bias[1] - net.fc2.bias[0]) / 2
    lift = ranges["fc2"] / 127 / 2
    net.fc2.weight.copy_(torch.stack([-half[0], half[0]]))
    net.fc2.bias.copy_(torch.stack([lift - half[1], lift + half[1]]))


def calibration_photos(images, labels, each=100):
    """The first `each` training photos of both classes."""
    return torch.cat([images[labels == kind][:each] for kind in (0, 1)])


def quantized(args):
    """Fine-tunes with simulated INT8: fixed statistics, per-channel and per-tensor weights in turn."""
    lesson, net = Lesson(args), CatDog(SHIFT, SCALE).cuda()
    net.load_state_dict(torch.load(args.start, weights_only=True)["average"])
    calibration = calibration_photos(lesson.images, lesson.labels)
    print("before", json.dumps(int8_figures(net.eval(), calibration, *lesson.check)))
    average, optimizer = Average(net, 0.998), optimizer_for(net, args.rate, 0.0)
    torch.backends.cudnn.allow_tf32 = True  # exact for integers up to 2^10, and all of ours are below 2^7
    steps = len(lesson.images) // args.batch
    for epoch in range(args.epochs):
        ranges, total = absolute_ranges(net, calibration), 0.0
        mild = epoch >= args.epochs * (1 - args.mild_end)
        for i, (x, target, label) in enumerate(lesson.batches(args.batch, args.seed * 7919 + epoch, mild)):
            set_rate(optimizer, args.rate, (epoch + i / steps) / args.epochs)
            spreads = []
            logits = int8_logits(folded(net), ranges, x, i % 2 == 0, i % 2 == 1, spreads)
            loss = distillation_loss(logits, target, label, args) + args.spread * sum(spreads)
            total += descend(loss, optimizer, average, epoch * steps + i)
        report(f"epoch {epoch + 1}/{args.epochs}", total / steps, average, lesson.check)
        if leg_is_over(args, epoch):
            break
    torch.backends.cudnn.allow_tf32 = False
    print("after", json.dumps(int8_figures(average.net, calibration, *lesson.check)))
    state = {"average": average.net.state_dict(), "epoch": epoch + 1, "minutes": minutes(), "seed": args.seed}
    torch.save(state, args.out)


def finish(args):
    """Writes the weights, and the figures of the held-out photos and of every `--check` set."""
    from safetensors.torch import save_file
    trained, saved = CatDog(SHIFT, SCALE).cuda(), torch.load(args.student, weights_only=True)
    trained.load_state_dict(saved["average"])
    net = raw_network(trained.eval())
    calibration = calibration_photos(*load_photos(args.data, "train"))
    settle_ties(net, absolute_ranges(net, calibration))
    tensors = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    assert len(tensors) == 32 and all(value.isfinite().all() for value in tensors.values())
    assert all((tensors[f"bn{i}.running_var"] > 0).all() for i in range(1, 5))
    save_file(tensors, args.out, metadata={"format": "pt"})
    figures = {"epochs": saved["epoch"], "minutes": round(saved["minutes"], 1), "seed": saved["seed"],
               "ranges": absolute_ranges(net, calibration), "photos": {}}
    for name, path, part in [("held_out", args.data, "check")] + [(*c.split("="), "all") for c in args.check]:
        images, labels = load_photos(path, part)
        figures["photos"][name] = {"count": len(labels), **int8_figures(net, calibration, images, labels)}
    open(args.figures, "w").write(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    def command(name, needed, **options):
        added = commands.add_parser(name, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        for option in needed.split():
            added.add_argument("--" + option, required=True, nargs="+" if option in ("photos", "targets") else None)
        for option, default in options.items():
            added.add_argument("--" + option.replace("_", "-"), type=type(default), default=default)
        return added
    shared = {"temperature": 2.0, "hard": 0.1, "minutes": 0.0, "until": 0, "seed": 1}
    command("decode", "photos out")
    command("teacher", "data weights out", rate=6e-4, epochs=10, batch=128, seed=1)
    command("views", "data teacher out", views=48, view_seed=20261122)
    command("student", "data targets out", rate=12e-3, epochs=1000, batch=512, mild_end=0.2, decay=0.02, every=10, **shared)
    command("quantized", "data targets start out", rate=1e-3, epochs=25, batch=256, mild_end=0.4, spread=0.02, **shared)
    command("finish", "data student out figures").add_argument(
        "--check", nargs="*", default=[], help="NAME=DATA: more decoded photos to measure on")
    return parser.parse_args()


if __name__ == "__main__":
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False  # what is measured is measured in full float32
    arguments = parse()
    globals()[arguments.command](arguments)  # the sub-commands are functions of the same name
