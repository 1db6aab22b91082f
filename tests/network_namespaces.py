"""Processes that see each other over a network only, where this machine can make one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Place(NamedTuple):
    """Where a process runs: its address, and what is written before its command."""

    address: str
    prefix: tuple[str, ...] = ()


LOOPBACK = Place("127.0.0.1")


@contextmanager
def places(number: int) -> Iterator[tuple[Place, list[Place]]]:
    """This process's place, and so many others, each in a namespace of its own.

    Without rights to make namespaces all of them are the loopback interface.
    """
    own, names = f"mc{os.getpid() % 10**6}", []
    subnet = f"10.{20 + os.getpid() % 200}.{os.getpid() // 200 % 250}"
    try:
        made = [
            _ip("link", "add", own, "type", "bridge"),
            _ip("addr", "add", f"{subnet}.1/24", "dev", own),
            _ip("link", "set", own, "up"),
        ]
        for n in range(number if all(made) else 0):
            name, outer = f"{own}n{n}", f"{own}v{n}"
            names.append(name)
            made += [
                _ip("netns", "add", name),
                _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name),
                _ip("link", "set", outer, "master", own, "up"),
                _ip("-n", name, "addr", "add", f"{subnet}.{n + 2}/24", "dev", "eth0"),
                _ip("-n", name, "link", "set", "eth0", "up"),
                _ip("-n", name, "link", "set", "lo", "up"),
            ]
        if all(made):
            prefixes = [("ip", "netns", "exec", name) for name in names]
            inside = [Place(f"{subnet}.{n + 2}", prefix) for n, prefix in enumerate(prefixes)]
            yield Place(f"{subnet}.1"), inside
        else:
            yield LOOPBACK, [LOOPBACK] * number
    finally:
        for n, name in enumerate(names):
            _ip("link", "del", f"{own}v{n}")
            _ip("netns", "del", name)
        _ip("link", "del", own)


def _ip(*words: str) -> bool:
    if shutil.which("ip") is None:
        return False
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0
