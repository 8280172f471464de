"""Training on several GPUs: each process trains on scenes of its own, and their gradients are averaged.

torchrun starts the processes and tells each in its environment which one it is; a process started without it is alone,
and everything here then does nothing. Batch-norms keep each process' own statistics while training (a batch of 8 has
thousands of sites a channel); the running ones are averaged before the network is scored or saved.
"""
import os

import torch


class Workers:
    def __init__(self, device):
        """`device` ("cuda", "cpu"): what kind; self.device is this process' own."""
        self.rank, self.size = (int(os.environ.get(name, first)) for name, first in (("RANK", 0), ("WORLD_SIZE", 1)))
        self.device = torch.device(device)
        if self.size == 1:
            return
        from torch import distributed
        self.distributed = distributed
        if self.device.type == "cuda":
            self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(self.device)
        # One way for what is on the GPUs, another for the few numbers of agree(), which must not wait for them.
        self.distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        self.hosts = self.distributed.new_group(backend="gloo")

    @property
    def first(self):
        return self.rank == 0

    def agree(self, *values):
        """The first process' values, everywhere."""
        if self.size == 1:
            return values
        told = torch.tensor(values, dtype=torch.float64)
        self.distributed.broadcast(told, 0, group=self.hosts)
        return told.tolist()

    def average(self, tensors):
        """In place, over the processes. A value that is not finite in one of them is not finite in all, so that a
        scaler of gradients decides alike everywhere."""
        if self.size == 1:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        self.distributed.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors])):
            tensor.copy_(part.view_as(tensor))

    def finish(self):
        if self.size > 1:
            self.distributed.barrier(group=self.hosts)
            self.distributed.destroy_process_group()
