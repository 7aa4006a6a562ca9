"""Where the time and the memory of a long job go."""

import resource
import time


class Clock:
    """Seconds of each phase, and the process's highest memory in MiB up to its end."""

    def __init__(self) -> None:
        self.last, self.phases = time.monotonic(), {}
        self.phase("start")

    def phase(self, name: str) -> None:
        """Ends a phase, which may come more than once: what was done since the last call belongs to it."""
        now, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        before = self.phases.get(name, {"seconds": 0.0})["seconds"]
        self.phases[name] = {"seconds": round(before + now - self.last, 2), "peak_mib": round(peak, 1)}
        self.last = now
