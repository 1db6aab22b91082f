"""A real S3 API (moto, a process with an environment of its own), and a way to it that fails."""

import http.client
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from faulty_server import BUCKET, Answer, FaultyServer
from project import PROJECT

PYTHON = PROJECT / ".venv-s3" / "bin" / "python"
"""`make .venv-s3/.installed` makes it: moto needs another botocore than s3fs does."""

_PASSED_ON = ("Content-Range", "Content-Type", "Etag", "Last-Modified")
_PUBLIC = {"x-amz-acl": "public-read"}
_SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=me/20260101/us-east-1/s3/aws4_request"}


class Bucket:
    """Its public objects, as their owner sees them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._ask("PUT", f"/{BUCKET}")

    def put(self, key: str, body: bytes) -> None:
        self._ask("PUT", f"/{BUCKET}/{quote(key)}", body)

    def delete(self, key: str) -> None:
        self._ask("DELETE", f"/{BUCKET}/{quote(key)}")

    def _ask(self, method: str, target: str, body: bytes = b"") -> None:
        answer = ask(self.port, method, target, _PUBLIC | _SIGNED, body)
        assert answer.status in (200, 204), answer


class Proxy(FaultyServer):
    """Passes on what it is asked, with faults."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__()
        self.bucket = bucket

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        return ask(self.bucket.port, method, target, headers)


def ask(
    port: int, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, target, body or None, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
        described = {k.title(): v for k, v in answer.getheaders() if k.title() in _PASSED_ON}
        if method == "HEAD":  # which has no body whose length could be taken
            described["Content-Length"] = answer.getheader("Content-Length", "0")
        return Answer(answer.status, content, described)
    finally:
        connection.close()


@contextmanager
def moto(python: Path = PYTHON) -> Iterator[Bucket]:
    """An empty bucket."""
    with subprocess.Popen(
        [python, Path(__file__).with_name("s3_process.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Bucket(int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(30)
