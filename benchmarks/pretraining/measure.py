"""Seconds per step, peak memory, and how fast a device multiplies matrices."""

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from trellis.device import autocast

GIB = 2**30
# Products [m, k] x [k, n].
LARGE = {
    "cuda": [(8192, 8192, 8192), (16384, 8192, 8192), (8192, 8192, 16384), (16384, 4096, 16384)],
    "cpu": [(1024, 1024, 1024), (2048, 2048, 2048), (4096, 2048, 2048)],
}


def clock() -> float:
    """Seconds: of processor time where one thread computes, so that other work on the machine counts for little."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


class Steps:
    """All optimizer steps of a process, whoever takes them. On a GPU they are timed by its own clock, so that nobody has to
    wait for it; on a processor `wait` is called between them. And the peak of memory up to the end of the last one, for a
    loop may set the GPU's count back."""

    def __init__(self, device: torch.device, wait: Callable[[], None]) -> None:
        self.device, self.wait = device, wait
        self.ends, self.taken, self.peaks = [], [], {}
        self.begun = clock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        hook = register_optimizer_step_post_hook(lambda *_: self._end())
        try:
            yield
        finally:
            hook.remove()

    def _end(self) -> None:
        if self.device.type == "cuda":
            self.ends.append(torch.cuda.Event(enable_timing=True))
            self.ends[-1].record()
            stats = torch.cuda.memory_stats(self.device)
            now = {"peak": stats["allocated_bytes.all.peak"], "reserved": stats["reserved_bytes.all.peak"]}
        else:
            self.taken.append(clock() - self.begun)
            self.wait()
            now = {"peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
            self.begun = clock()
        self.peaks = {name: max(size / GIB, self.peaks.get(name, 0)) for name, size in now.items()}

    def seconds(self, warm_up: int) -> list[float]:
        """From each step's end to the next one's, without the first `warm_up` steps (at least one)."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            pairs = zip(self.ends, self.ends[1:], strict=False)
            return [before.elapsed_time(after) / 1000 for before, after in pairs][warm_up - 1 :]
        return self.taken[warm_up:]


def matrix_ceiling(device: torch.device, precision: str) -> dict:
    """FLOP/s of the fastest of a few large products of normally distributed numbers, in the precision that a recipe's
    autocast multiplies in; and the GPU's clocks while it is busy, where nvidia-smi tells them."""
    context, best, clocks = autocast(device, precision), {"flops_per_second": 0.0}, None
    dtype = torch.bfloat16 if isinstance(context, torch.autocast) else torch.float32
    for m, k, n in LARGE[device.type]:
        a, b = torch.randn(m, k, device=device).to(dtype), torch.randn(k, n, device=device).to(dtype)
        once = _seconds(device, a, b, 3)
        rate = 2 * m * k * n / statistics.median(_seconds(device, a, b, max(3, round(0.2 / once))) for _ in range(5))
        if device.type == "cuda":
            for _ in range(round(2 / once)):
                a @ b
            clocks = _clocks(device) or clocks
        if rate > best["flops_per_second"]:
            best = {"flops_per_second": rate, "product": f"{m} x {k} x {n}, {dtype}".replace("torch.", "")}
    return {**best, "clocks": clocks}


def _seconds(device: torch.device, a: torch.Tensor, b: torch.Tensor, count: int) -> float:
    """Of one product, over `count` of them in a row."""
    out = a @ b
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(count):
            torch.mm(a, b, out=out)
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000 / count
    begin = clock()
    for _ in range(count):
        torch.mm(a, b, out=out)
    return (clock() - begin) / count


def _clocks(device: torch.device) -> str | None:
    """What nvidia-smi says of the GPU at this moment."""
    fields = ("clocks.sm", "clocks.max.sm", "clocks.mem", "power.draw", "power.limit", "driver_version")
    gpu = f"--id=GPU-{torch.cuda.get_device_properties(device).uuid}"
    command = ["nvidia-smi", gpu, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    values = [value.strip() for value in answer.stdout.partition("\n")[0].split(",")]
    if answer.returncode or len(values) != len(fields):
        return None
    sm, most, memory, draw, limit, driver = values
    return f"SM {sm} of {most}, memory {memory}, power {draw} of {limit}, driver {driver}"
