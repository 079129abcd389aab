"""What the processes of the stack cost when nobody wants anything: processor, memory, and how long each takes to start."""

import time
from dataclasses import dataclass

from regulars.bench_postings import Samples, cpu_seconds, settle, summed
from regulars.ports import PROGRAMS
from regulars.stack import Stack


@dataclass(frozen=True)
class Idle:
    """Looks at every program of the stack."""

    stack: Stack

    def measure(self, seconds: float) -> Samples:
        """One round: so many seconds of nothing; in percent of one core, and MB that are not shared."""
        settle(self.stack)
        before, began = cpu_seconds(self.stack), time.perf_counter()
        time.sleep(seconds)
        after, passed = cpu_seconds(self.stack), time.perf_counter() - began
        used = {program: (after[program] - spent) / passed * 100 for program, spent in before.items()}
        samples = {f"idle_cpu_{program}": percent for program, percent in used.items()}
        samples |= {
            f"idle_mb_{program}": summed(pid, lambda one: one.memory_full_info().uss / 1e6)
            for program, pid in self.stack.pids().items()
        }
        return samples | {
            "idle_cpu_all": sum(used.values()),
            "idle_mb_all": sum(value for name, value in samples.items() if name.startswith("idle_mb_")),
        }

    def starts(self) -> Samples:
        """One round: seconds from the start of each of our programs until it says that it is ready."""
        samples = {}
        for program in PROGRAMS:
            self.stack.stop(program)
            began = time.perf_counter()
            self.stack.start(program)
            samples[f"start_{program}"] = time.perf_counter() - began
        return samples
