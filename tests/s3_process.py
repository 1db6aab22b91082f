"""Moto's S3 as a process of its own, run by the Python of its own environment."""

import sys

from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)  # noqa: T201 - its parent reads this
sys.stdin.read()
server.stop()
