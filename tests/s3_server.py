"""As much of S3 as reading needs, on the loopback interface, with faults on demand."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "gallery"
FAULTS = ("500", "503", "cut", "short", "wrong", "404", "changed")

FaultOf = Callable[[str, int], str | None]
"""What happens to the n-th request (from 0) for an object; None is nothing."""


class S3Server(ThreadingHTTPServer):
    """One bucket of objects; counts what is asked for and sent."""

    daemon_threads = True

    def __init__(self, objects: Mapping[str, bytes], fault_of: FaultOf | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects = dict(objects)
        self.fault_of = fault_of or (lambda _key, _nth: None)
        self.etag_of = _md5
        self.asked: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.bytes_sent = 0
        self.counting = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def options(self) -> dict[str, object]:
        return {"anon": True, "endpoint_url": self.endpoint}

    def handle_error(self, *_: object) -> None:
        """Connections that a client closes early are no news."""


@contextmanager
def serving(objects: Mapping[str, bytes], fault_of: FaultOf | None = None) -> Iterator[S3Server]:
    server = S3Server(objects, fault_of)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def sampled_disk(folder: Path) -> Iterator[list[int]]:
    """Bytes of TIFFs below a folder, half written ones too, looked at again and again."""
    found, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(0.002):
            total = 0
            for path in folder.rglob("*.tiff*"):
                with suppress(OSError):
                    total += path.stat().st_size
            found.append(total)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET(with_body=False)

    def do_GET(self, *, with_body: bool = True) -> None:
        url = urlsplit(self.path)
        _, _, key = unquote(url.path).lstrip("/").partition("/")
        if not key:
            self._answer(200, self._listing(parse_qs(url.query)), kind="application/xml")
            return
        with self.server.counting:
            nth = self.server.asked[key]
            self.server.asked[key] += with_body
        fault = self.server.fault_of(key, nth) if with_body else None
        if fault:
            with self.server.counting:
                self.server.faults[fault] += 1
        body = self.server.objects.get(key)
        if body is None or fault == "404":
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", with_body=with_body)
            return
        etag = self.server.etag_of(body)
        if fault == "changed" or self.headers.get("If-Match", etag) != etag:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        elif fault in ("500", "503"):
            code = "SlowDown" if fault == "503" else "InternalError"
            self._answer(int(fault), f"<Error><Code>{code}</Code></Error>".encode())
        elif fault == "cut":
            self._answer(200, body, etag=etag, sent=len(body) // 2)
            self.close_connection = True
        elif fault == "short":
            self._answer(200, body[:-1], etag=etag)
        elif fault == "wrong":
            self._answer(200, bytes([body[0] ^ 255]) + body[1:], etag=etag)
        else:
            self._answer(200, body, etag=etag, with_body=with_body)

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        keys = sorted(key for key in self.server.objects if key.startswith(prefix))
        folders: list[str] = []
        if query.get("delimiter"):
            below = [(key, key[len(prefix) :].split("/", 1)) for key in keys]
            folders = sorted({prefix + parts[0] + "/" for _, parts in below if len(parts) > 1})
            keys = [key for key, parts in below if len(parts) == 1]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.objects[key])}</Size>"
            f"<ETag>{escape(self.server.etag_of(self.server.objects[key]))}</ETag>"
            "<LastModified>2026-01-31T09:00:00.000Z</LastModified></Contents>"
            for key in keys
        ) + "".join(
            f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in folders
        )
        return (
            '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
            f"<KeyCount>{len(keys)}</KeyCount>{entries}</ListBucketResult>"
        ).encode()

    def _answer(
        self,
        status: int,
        body: bytes,
        *,
        etag: str | None = None,
        kind: str = "application/octet-stream",
        sent: int | None = None,
        with_body: bool = True,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", kind)
        self.send_header("Last-Modified", "Sat, 31 Jan 2026 09:00:00 GMT")
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        if with_body:
            part = body[:sent]
            self.wfile.write(part)
            self.wfile.flush()
            with self.server.counting:
                self.server.bytes_sent += len(part)


def _md5(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
