"""What the machine is, and how busy."""

import os
import platform
import re
from pathlib import Path


def shape():
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", info)
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1])
    return {
        "cores": os.cpu_count(),
        "processor": " ".join(model[1].split()) if model else platform.machine(),
        "memory_gib": round(memory / 2**20),
        "kernel": platform.release(),
        "virtual": " hypervisor" in info,
    }


def load():
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 1)


class Watch:
    """How busy the machine was meanwhile."""

    def __init__(self):
        self.load = load()
        self.ticks = ticks()

    def result(self):
        stolen, all_of_it = (after - before for before, after in zip(self.ticks, ticks(), strict=True))
        return {"load_before": self.load, "load_after": load(), "stolen": round(stolen / max(all_of_it, 1), 3)}


def ticks():
    """Of all processors: what the host gave to others, and all."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[7], sum(fields)
