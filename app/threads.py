"""How many threads a process computes with, chosen once before it loads a model.

torch's own choice is one a core, free or not. Where others compute too, each parallel step then
waits for a thread that is not running: 40 studies took 83 to 148 s on busy cores, and 10 s with one
thread.
"""

import math
import os
import sys
from pathlib import Path

__all__ = ["available_cores", "free_cores", "use_threads"]

MOST = 8
"""More do not make so small a model faster."""
_LOAD = Path("/proc/loadavg")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def use_threads(threads: int | None = None) -> int:
    """Choose the threads of this process, and have idle ones sleep instead of spin.

    torch takes both from the environment when it is imported; where it has been, only the first.

    Args:
        threads: as many, but no more than the cores this process may use; those that are free
            where None.

    Returns:
        How many, which an engine without torch needs.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    chosen = min(threads or min(MOST, free_cores()), available_cores())
    os.environ["OMP_NUM_THREADS"] = str(chosen)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(chosen)
    return chosen


def free_cores() -> int:
    """Cores this process may use that nothing else keeps busy, at least 1.

    Busy are those of the last minute, or of now where these are more.
    """
    busy = max(math.ceil(os.getloadavg()[0] - 0.5), _running())
    return max(1, available_cores() - busy)


def _running() -> int:
    """Threads that run or could run at this moment, without this one; 0 where it is unknown."""
    try:
        return int(_LOAD.read_text("ascii").split()[3].partition("/")[0]) - 1
    except (OSError, ValueError, IndexError):
        return 0


def available_cores() -> int:
    """Cores this process may use, by affinity and by a container's quota, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, _quota()))


def _quota() -> int:
    """Whole cores of the control group's quota; as good as endless where there is none."""
    try:
        quota, period = _QUOTA.read_text("ascii").split()
        return int(quota) // int(period)
    except (OSError, ValueError):
        return 2**16
