"""Which device torch computes on."""

from pathlib import Path

import psutil
import torch

from morphoclip.errors import InputError

_OF_CONTAINER = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"))


def resolve_device(device: str) -> str:
    """``auto`` is cuda where there is one, else cpu.

    Raises:
        InputError: The device is none that this torch has.
    """
    if device != "auto":
        devices = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
        if device not in devices and not (device == "cuda" and torch.cuda.is_available()):
            raise InputError(f"device {device} is not there; there are auto, {', '.join(devices)}")
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def available_memory() -> int:
    """Bytes of main memory that this process can still take, a container's bound included."""
    available = int(psutil.virtual_memory().available)
    try:
        bound, used = (path.read_text().strip() for path in _OF_CONTAINER)
    except OSError:
        return available
    return min(available, int(bound) - int(used)) if bound.isdecimal() else available
