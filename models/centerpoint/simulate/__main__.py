"""python3 -m models.centerpoint.simulate --frames N --seed S --out DIR: writes frames and their annotations.

Frame k of a seed is the same however many are made; --first goes on where an earlier run stopped.
"""
import argparse
import os
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("the simulator needs PyTorch and NumPy (Debian: python3-torch, python3-numpy)")

from . import frames
from .worlds import WORLDS, world_of


def main():
    parser = argparse.ArgumentParser(prog="models.centerpoint.simulate", description=__doc__)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first frame")
    parser.add_argument("--sweeps", type=int, default=10)
    parser.add_argument("--rich", type=float, default=0.5, help="0 to 1: how many objects of rare classes")
    parser.add_argument("--world", choices=WORLDS, default="training", help="what frames are drawn from (worlds.py)")
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="frames at a time (GPU: 64, CPU: 2)")
    args = parser.parse_args()
    if args.frames < 1 or args.first < 0 or args.sweeps < 1:
        parser.error("--frames and --sweeps must be at least 1, --first at least 0")
    if not 0 <= args.rich <= 1:
        parser.error(f"--rich {args.rich}: 0 to 1 was expected")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error(f"--device {args.device}: PyTorch finds no GPU here")
    os.makedirs(args.out, exist_ok=True)
    batch = args.batch or (64 if args.device.startswith("cuda") else 2)
    started = time.time()
    for first in range(args.first, args.first + args.frames, batch):
        numbers = range(first, min(first + batch, args.first + args.frames))
        made = frames.simulate(args.seed, numbers, args.device, args.sweeps,
                               world_of(args.world, args.rich))
        frames.write(made, [os.path.join(args.out, f"s{args.seed}_{k:06d}") for k in numbers])
        done = numbers[-1] + 1 - args.first
        if sys.stderr.isatty() or done == args.frames:
            end = "\n" if done == args.frames else "\r"
            rate = done / (time.time() - started)
            print(f"{done}/{args.frames} frames, {rate:.2f} a second", end=end, file=sys.stderr)


main()
