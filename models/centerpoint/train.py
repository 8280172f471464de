#!/usr/bin/env python3
"""Trains CenterPoint on simulated frames (simulate/README.md), in legs that go on where the last one stopped.

    python3 -m models.centerpoint.train --state DIR --minutes 8 --schedule-minutes 24      one leg; again for the next
    python3 -m models.centerpoint.train --state DIR --export centerpoint.safetensors       official keys, float16
    python3 -m models.centerpoint.train --state DIR --minutes 4 --qat ranges.json --start centerpoint.safetensors

A leg simulates new frames, trains on changed copies of them (training/data.py), scores itself on frames of another seed
and saves its state before its time is over. The learning rate follows one cycle over --schedule-minutes of training, or
over --steps. Everything is logged to DIR/log.jsonl. Needs PyTorch and NumPy; on a GPU spconv 2 makes it several times
faster.
"""
import argparse
import json
import math
import os
import sys
import time

import torch

from .simulate.worlds import WORLDS, world_of
from .training import files, targets
from .training.data import Pool
from .training.metric import Metric
from .training.network import CenterPoint, backend_for
from .training.voxels import Grid, voxelise
from .training.workers import Workers

EVALUATION_SEED = 900_001  # no training frame has it
MOST_NORM = 35.0  # of the gradient


def one_cycle(progress, most, start=0.4, division=10.0, momentum=(0.95, 0.85), last=1e4):
    """Learning rate and beta1 at `progress` (0 to 1): up from most / division and down to most / division / last, both
    along a half cosine; the momentum the other way."""
    share = progress / start if progress < start else (progress - start) / (1 - start)
    up = (1 - math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2
    low, end = most / division, most / division / last
    if progress < start:
        return low + (most - low) * up, momentum[0] + (momentum[1] - momentum[0]) * up
    return most + (end - most) * up, momentum[1] + (momentum[0] - momentum[1]) * up


class Trainer:
    def __init__(self, args):
        self.args, self.started = args, time.time()
        self.workers = Workers(args.device)
        self.device = self.workers.device
        self.cuda = self.device.type == "cuda"
        torch.manual_seed(args.seed)
        if self.cuda:
            torch.backends.cudnn.benchmark = True
        half = args.half_width
        self.grid = Grid((-half, -half, -5.0, half, half, 3.0), (args.voxel, args.voxel, 0.2))
        self.network = CenterPoint(self.grid.zyx(), backend_for(self.device)).to(self.device)
        self.network.neck.to(memory_format=torch.channels_last)
        self.network.bbox_head.to(memory_format=torch.channels_last)
        self.about = {"steps": 0, "scenes": 0, "minutes": 0.0, "legs": 0}
        self.quantised = None
        if args.start:
            self.load_weights(args.start)
        if args.qat:
            from .training import qat
            self.quantised = qat.Quantised(self.network, args.qat, args.qat_part)
        decayed = [p for p in self.network.parameters() if p.dim() > 1]
        plain = [p for p in self.network.parameters() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01},
                                            {"params": plain, "weight_decay": 0.0}], lr=1e-3, betas=(0.95, 0.99))
        about = files.load_state(args.state, self.network, self.optimizer)
        if about:
            self.about.update(about)
            self.say(f"goes on after {self.about['scenes']} scenes, {self.about['minutes']:.1f} minutes")
        scaler = getattr(torch.amp, "GradScaler", None) or torch.cuda.amp.GradScaler
        self.scaler = scaler(enabled=self.cuda)
        self.trained_before = self.about["minutes"]

    def load_weights(self, path):
        loaded = files.read_safetensors(path)
        own = self.network.state_dict()
        missing = [name for name in own if name not in loaded]
        if missing:
            raise SystemExit(f"{path}: no {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""))
        for name, tensor in own.items():
            tensor.copy_(loaded[name])

    def minutes(self):
        return (time.time() - self.started) / 60

    def say(self, text):
        if self.workers.first:
            print(f"[{self.minutes():5.2f} min] {text}", file=sys.stderr, flush=True)

    def log(self, **entry):
        if self.workers.first:
            with open(os.path.join(self.args.state, "log.jsonl"), "a") as f:
                f.write(json.dumps(entry) + "\n")

    def progress(self):
        if self.args.steps:
            return min(self.about["steps"] / self.args.steps, 1.0)
        return min(self.about["minutes"] / self.args.schedule_minutes, 1.0)

    def simulate(self):
        args, before = self.args, self.minutes()
        self.pool, self.held_out = Pool(self.device), Pool(self.device)
        batch = 64 if self.cuda else 2
        if self.workers.first:
            self.held_out.simulate(EVALUATION_SEED, range(args.evaluate), args.sweeps,
                                   world_of(args.held_out_world, args.rich), batch)
        seed = args.seed * 1000 + (self.about["legs"] if args.fresh else 0) + 500 * self.workers.rank
        end = before + args.minutes * 0.25
        wanted = range(0 if args.score else args.pool)
        self.pool.simulate(seed, wanted, args.sweeps, world_of("training", args.rich), batch,
                           lambda: self.minutes() > end)
        took = self.minutes() - before
        made = len(self.pool) + len(self.held_out)
        self.say(f"{made} frames simulated, {made / took / 60:.1f} a second")

    def forward(self, points, frame, batch):
        features, indices = voxelise(points, frame, self.grid)
        with torch.autocast(self.device.type, torch.float16 if self.cuda else torch.bfloat16, enabled=self.cuda):
            return self.network(features, indices, batch)

    def step(self, random):
        args, count = self.args, self.args.batch
        chosen = torch.randint(len(self.pool), (count,), generator=random).tolist()
        points, frame, boxes, labels, owner = self.pool.batch(chosen, random if args.augment else None)
        wanted = targets.make_targets(boxes, labels, owner, count, self.grid)
        rate, beta = one_cycle(self.workers.agree(self.progress())[0], args.rate)
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = rate, (beta, 0.99)
        self.optimizer.zero_grad(set_to_none=True)
        heat, box, parts = targets.losses(self.forward(points, frame, count), wanted)
        self.scaler.scale(heat + box).backward()
        self.workers.average([p.grad for p in self.network.parameters() if p.grad is not None])
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), MOST_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.about["steps"] += 1
        self.about["scenes"] += count * self.workers.size
        return rate, heat.detach(), box.detach(), parts

    def train(self):
        """Until the leg's time is over, but for what scoring and saving take."""
        args = self.args
        random = torch.Generator().manual_seed(args.seed * 7919 + self.about["steps"] + 104729 * self.workers.rank)
        self.network.train()
        began, reported, scenes = time.time(), time.time(), self.about["scenes"]
        end = args.minutes - args.reserve
        while self.workers.agree(self.progress() < 1 and self.minutes() < end)[0]:
            rate, heat, box, parts = self.step(random)
            self.about["minutes"] = self.trained_before + (time.time() - began) / 60
            if time.time() - reported > args.every or self.progress() >= 1:
                reported = time.time()
                speed = (self.about["scenes"] - scenes) / (reported - began)
                entry = {"steps": self.about["steps"], "scenes": self.about["scenes"],
                         "minutes": round(self.about["minutes"], 3), "rate": rate, "heat": round(float(heat), 4),
                         "box": round(float(box), 4), **{k: round(float(v), 4) for k, v in parts.items()},
                         "scenes_per_second": round(speed, 2)}
                self.log(**entry)
                self.say(f"step {entry['steps']}: heat {entry['heat']:.3f}, box {entry['box']:.3f}, "
                         f"{speed:.1f} scenes a second, rate {rate:.2e}")
                if not math.isfinite(entry["heat"] + entry["box"]):
                    raise SystemExit("the loss is no number: the last saved state stays")
        self.workers.average([b for b in self.network.buffers() if b.is_floating_point()])

    @torch.no_grad()
    def evaluate(self):
        self.network.eval()
        metric, count = Metric(), self.args.batch
        for first in range(0, len(self.held_out), count):
            chosen = range(first, min(first + count, len(self.held_out)))
            points, frame, boxes, labels, owner = self.held_out.batch(chosen)
            on = (boxes[:, :2].abs() < self.args.half_width).all(1)
            boxes, labels, owner = boxes[on], labels[on], owner[on]
            made = targets.decode(self.forward(points, frame, len(chosen)), self.grid)
            metric.add(first, owner, labels, boxes, *made)
        result = metric.result()
        self.say(f"mAP {result['mAP']} on {len(self.held_out)} held-out frames: {result['AP']}")
        self.log(steps=self.about["steps"], minutes=round(self.about["minutes"], 3), frames=len(self.held_out),
                 **result)

    def save(self):
        self.about["legs"] += 1
        files.save_state(self.args.state, self.network, self.optimizer, self.about)
        self.say(f"state saved in {self.args.state}: {self.about['scenes']} scenes, progress {self.progress():.2f}")

    def export(self, path):
        about = {"model": "centerpoint", "trained_on": "simulated frames", "scenes": str(self.about["scenes"])}
        state = self.quantised.official() if self.quantised else self.network.state_dict()
        files.export(path, state, not self.args.full, about)
        self.say(f"{path}: {os.path.getsize(path)} bytes")


def arguments():
    parser = argparse.ArgumentParser(prog="models.centerpoint.train", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--state", required=True, help="folder of the run: what it goes on from, and its log")
    add("--minutes", type=float, default=8.0, help="of this leg, everything included")
    add("--reserve", type=float, default=0.5, help="minutes of them for scoring and saving")
    add("--schedule-minutes", type=float, default=24.0, help="of training, all legs together")
    add("--steps", type=int, help="the schedule's length in steps instead")
    add("--batch", type=int, default=8)
    add("--rate", type=float, help="highest learning rate (1e-3; 1e-4 with --qat)")
    add("--pool", type=int, default=8000, help="frames to simulate for a leg, in a quarter of its time at most")
    add("--fresh", action=argparse.BooleanOptionalAction, default=True, help="other frames in each leg")
    add("--evaluate", type=int, default=256, help="held-out frames for the log's mAP")
    add("--augment", action=argparse.BooleanOptionalAction, default=True)
    add("--sweeps", type=int, default=10)
    add("--rich", type=float, default=0.8, help="of rare classes, 0 to 1")
    add("--held-out-world", choices=WORLDS, default="training", help="where the held-out frames are from")
    add("--half-width", type=float, default=54.0, help="of the range, metres")
    add("--voxel", type=float, default=0.075)
    add("--seed", type=int, default=1)
    add("--every", type=float, default=10.0, help="seconds between lines of the log")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--start", help="weights to begin with (.safetensors, official keys)")
    add("--qat", help="ranges.json: train with the runtime's rounding in the forward pass")
    add("--qat-part", choices=("all", "encoder"), default="all")
    add("--score", action="store_true", help="score the weights on held-out frames and stop: with --qat, that is PTQ")
    add("--export", help="write the state's weights and stop")
    add("--full", action="store_true", help="export float32")
    args = parser.parse_args()
    args.rate = args.rate or (1e-4 if args.qat else 1e-3)
    return args


def main():
    args = arguments()
    os.makedirs(args.state, exist_ok=True)
    trainer = Trainer(args)
    if args.export:
        trainer.export(args.export)
        return
    trainer.simulate()
    if args.score:
        trainer.evaluate()
        return
    trainer.train()
    if trainer.workers.first:
        trainer.save()
        if args.evaluate:
            trainer.evaluate()
    trainer.workers.finish()


if __name__ == "__main__":
    main()
