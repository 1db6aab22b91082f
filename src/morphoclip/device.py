"""Which device torch computes on."""

import torch

from morphoclip.errors import InputError


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
