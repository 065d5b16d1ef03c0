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
