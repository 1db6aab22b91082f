"""A bucket as fast as Python serves one: bodies that lie in memory, in a process of their own."""

import asyncio
import hashlib
import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "gallery"
_LIMIT = 2**16


@contextmanager
def serving(objects: Mapping[str, bytes], *, pause: float = 0.0) -> Iterator[int]:
    """The port of a bucket that holds these objects; some keys may share their content.

    Each answer comes after a ``pause`` of so many seconds, as from a bucket that is far away.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, pause), daemon=True)
    process.start()
    # equal contents go there once
    contents = list({id(body): body for body in objects.values()}.values())
    place = {id(body): n for n, body in enumerate(contents)}
    ours.send((contents, {key: place[id(body)] for key, body in objects.items()}))
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def _serve(parent: Connection, pause: float) -> None:
    contents, place_of = parent.recv()
    tags = [hashlib.md5(body, usedforsecurity=False).hexdigest() for body in contents]
    listed = {
        key: f'<Contents><Key>{key}</Key><Size>{len(contents[n])}</Size><ETag>"{tags[n]}"</ETag>'
        "<LastModified>2026-01-31T09:00:00.000Z</LastModified></Contents>"
        for key, n in sorted(place_of.items())
    }

    def answer(target: str) -> tuple[bytes, bytes]:
        url = urlsplit(target)
        key = unquote(url.path).removeprefix(f"/{BUCKET}").lstrip("/")
        if key:
            body, tag = contents[place_of[key]], tags[place_of[key]]
        else:
            body, tag = _listing(listed, parse_qs(url.query)), "0"
        head = (
            f'HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nETag: "{tag}"\r\n'
            "Last-Modified: Sat, 31 Jan 2026 09:00:00 GMT\r\n\r\n"
        )
        return head.encode(), body

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                head, body = answer(request.split(b" ", 2)[1].decode())
                await asyncio.sleep(pause)
                writer.write(head)
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=_LIMIT)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _listing(listed: Mapping[str, str], query: Mapping[str, list[str]]) -> bytes:
    prefix = query.get("prefix", [""])[0]
    keys = [key for key in listed if key.startswith(prefix)]
    folders: list[str] = []
    if "delimiter" in query:
        below = {key: key[len(prefix) :].partition("/") for key in keys}
        folders = sorted({f"{prefix}{first}/" for first, slash, _ in below.values() if slash})
        keys = [key for key, (_, slash, _) in below.items() if not slash]
    parts = [listed[key] for key in keys]
    parts += [f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in folders]
    return (
        '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
        f"{''.join(parts)}</ListBucketResult>"
    ).encode()


async def bare_sockets(port: int, keys: list[str], at_once: int) -> int:
    """Bytes of these objects, read by as many connections and thrown away."""
    left, total = iter(keys), 0

    async def work() -> None:
        nonlocal total
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        for key in left:
            writer.write(f"GET /{BUCKET}/{key} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0])
            body = await reader.readexactly(size)
            total += len(body)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(work() for _ in range(at_once)))
    return total
