"""As much of S3 as reading needs, in this process, of objects that a test holds."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from faulty_server import Answer, FaultOf, FaultyServer, in_background


class S3Server(FaultyServer):
    """One bucket of objects."""

    def __init__(self, objects: Mapping[str, bytes], fault_of: FaultOf | None = None) -> None:
        super().__init__(fault_of)
        self.objects = dict(objects)
        self.etag_of = _md5

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:  # noqa: ARG002
        url = urlsplit(target)
        _, _, key = unquote(url.path).lstrip("/").partition("/")
        if not key:
            return Answer(200, self._listing(parse_qs(url.query)), _described("application/xml"))
        body = self.objects.get(key)
        if body is None:
            return Answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        etag = self.etag_of(body)
        if headers.get("If-Match", etag) != etag:
            return Answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        return Answer(200, body, _described("application/octet-stream") | {"ETag": etag})

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        folders: list[str] = []
        if query.get("delimiter"):
            below = [(key, key[len(prefix) :].split("/", 1)) for key in keys]
            folders = sorted({prefix + parts[0] + "/" for _, parts in below if len(parts) > 1})
            keys = [key for key, parts in below if len(parts) == 1]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size>"
            f"<ETag>{escape(self.etag_of(self.objects[key]))}</ETag>"
            "<LastModified>2026-01-31T09:00:00.000Z</LastModified></Contents>"
            for key in keys
        ) + "".join(
            f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in folders
        )
        return (
            '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
            f"<KeyCount>{len(keys)}</KeyCount>{entries}</ListBucketResult>"
        ).encode()


@contextmanager
def serving(objects: Mapping[str, bytes], fault_of: FaultOf | None = None) -> Iterator[S3Server]:
    with in_background(S3Server(objects, fault_of)) as server:
        yield server


def _described(kind: str) -> dict[str, str]:
    return {"Content-Type": kind, "Last-Modified": "Sat, 31 Jan 2026 09:00:00 GMT"}


def _md5(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
