"""A server that answers as S3 does, or as S3 does on a bad day; counts what is asked for."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "gallery"
FAULTS = ("500", "503", "cut", "short", "wrong", "404", "changed")
LISTING_FAULTS = ("500", "503", "cut", "short", "size", "gone")
"""What can happen to a page of a listing: a size that is not the object's, an object left out."""

FaultOf = Callable[[str, int], str | None]
"""What happens to the n-th request (from 0) for an object or a folder; None is nothing."""


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


class FaultyServer(ThreadingHTTPServer):
    """Faults on top of what `answer` says."""

    daemon_threads = True

    def __init__(self, fault_of: FaultOf | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fault_of = fault_of or _no_fault
        self.listing_fault_of: FaultOf = _no_fault
        self.asked: Counter[str] = Counter()
        self.listed: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.bytes_sent = 0
        self.counting = threading.Lock()

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        raise NotImplementedError

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def options(self) -> dict[str, object]:
        return {"anon": True, "endpoint_url": self.endpoint}

    def handle_error(self, *_: object) -> None:
        """Connections that a client closes early are no news."""

    def fault(self, method: str, key: str, prefix: str) -> str | None:
        """What happens to this request; it is counted."""
        if method != "GET":
            return None
        with self.counting:
            counted, name = (self.asked, key) if key else (self.listed, prefix)
            nth = counted[name]
            counted[name] += 1
        fault = (self.fault_of if key else self.listing_fault_of)(name, nth)
        if fault:
            with self.counting:
                self.faults[f"{'' if key else 'listing '}{fault}"] += 1
        return fault


Server = TypeVar("Server", bound=ThreadingHTTPServer)


@contextmanager
def in_background(server: Server) -> Iterator[Server]:
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


def _no_fault(_name: str, _nth: int) -> None:
    return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def _handle(self) -> None:
        url = urlsplit(self.path)
        _, _, key = unquote(url.path).lstrip("/").partition("/")
        prefix = parse_qs(url.query).get("prefix", [""])[0]
        fault = self.server.fault(self.command, key, prefix)
        if fault in _INSTEAD:
            self._send(_INSTEAD[fault])
            return
        answer = self.server.answer(self.command, self.path, dict(self.headers))
        if answer.status != 200:
            self._send(answer)
        elif fault == "cut":
            self._send(answer, sent=len(answer.body) // 2)
            self.close_connection = True
        else:
            self._send(answer._replace(body=_damaged(answer.body, fault)))

    def _send(self, answer: Answer, *, sent: int | None = None) -> None:
        self.send_response(answer.status)
        for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            part = answer.body[:sent]
            self.wfile.write(part)
            self.wfile.flush()
            with self.server.counting:
                self.server.bytes_sent += len(part)


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code></Error>".encode()


_INSTEAD = {
    "500": Answer(500, _error("InternalError")),
    "503": Answer(503, _error("SlowDown")),
    "404": Answer(404, _error("NoSuchKey")),
    "changed": Answer(412, _error("PreconditionFailed")),
}


def _damaged(body: bytes, fault: str | None) -> bytes:
    match fault:
        case None:
            return body
        case "short":
            return body[:-1]
        case "wrong":
            return bytes([body[0] ^ 255]) + body[1:]
        case "size":
            return re.sub(rb"<Size>(\d+)", lambda m: b"<Size>%d" % (int(m[1]) + 1), body, count=1)
        case "gone":
            return re.sub(rb"<Contents>.*?</Contents>", b"", body, count=1, flags=re.DOTALL)
    raise ValueError(fault)
