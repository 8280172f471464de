"""A runtime in a process of its own, kept warm, and the conversation with it.

The process is started with its model, its inputs and a number of threads. It says `first` as soon as it has its first
result. Then it answers, each in one line: `facts` with JSON about what it runs; `outputs` with `written` once the
results of all inputs are in its outputs file; a number N with the latencies of N inferences in milliseconds, on its
inputs in turn.
"""

import json
import os
import subprocess
import time


class Failed(Exception):
    """A contender died or said something unexpected."""


class Contender:
    def __init__(self, label, command, outputs, environment=None):
        self.label, self.outputs = label, outputs
        self.errors = open(outputs + ".stderr", "w+")
        started = time.perf_counter()
        # No thread count from outside: every contender is told by its own setting.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "ONEDNN_", "OCTET_ISA"))}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        text=True, env={**inherited, **(environment or {})})
        self.expect("first")
        self.start_ms = 1e3 * (time.perf_counter() - started)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.errors.close()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise Failed(f"{self.label} ended: {self.errors.read().strip()[-600:]}")
        return line.strip()

    def expect(self, word):
        line = self.read()
        if line != word:
            raise Failed(f"{self.label}: '{word}' was expected, it said '{line[:200]}'")

    def ask(self, question):
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return self.read()

    def run(self, count):
        """`count` latencies in milliseconds."""
        return [float(t) for t in self.ask(count).split()]

    def facts(self):
        return json.loads(self.ask("facts"))

    def write_outputs(self):
        if self.ask("outputs") != "written":
            raise Failed(f"{self.label} wrote no outputs")

    def peak_bytes(self):
        """The process's high-water mark of resident memory."""
        with open(f"/proc/{self.process.pid}/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        raise Failed(f"{self.label}: no VmHWM")

    def thread_times(self):
        """{thread id: nanoseconds on a processor}."""
        times = {}
        folder = f"/proc/{self.process.pid}/task"
        for task in os.listdir(folder):
            try:
                with open(f"{folder}/{task}/schedstat") as file:
                    times[task] = int(file.read().split()[0])
            except FileNotFoundError:  # the thread has just ended
                pass
        return times

    def busy_threads(self, count):
        """How many threads did the work of `count` inferences: those with a fifth of the busiest one's time or more."""
        before = self.thread_times()
        self.run(count)
        spent = [t - before.get(task, 0) for task, t in self.thread_times().items()]
        return sum(1 for t in spent if t >= max(spent) / 5)
