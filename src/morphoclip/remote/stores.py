"""Where files lie that are not on this machine: buckets by obstore, anything else by fsspec."""

import copy
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

import fsspec
import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store, from_url

_BUCKETS = ("s3://", "gs://", "az://")
_OF_S3 = ("anon", "config_kwargs", "client_kwargs", "endpoint_url", "key", "secret", "token")
CLIENTS = {"gcsfs": ("gs://", "gs"), "adlfs": ("az://", "azure")}
"""Packages through which fsspec opens what is not S3: their addresses, and our optional groups."""

_SECONDS_TO_CONNECT = timedelta(seconds=10)
_SECONDS_WITHOUT_A_BYTE = timedelta(seconds=30)
_MD5 = re.compile(r"[0-9a-f]{32}")


class RemoteFile(NamedTuple):
    """A file as its store lists it.

    Attributes:
        path: Below the store's folder.
        size: Bytes; None where the store does not say.
        etag: What changes when the file does; None where the store has no such thing.
    """

    path: str
    size: int | None
    etag: str | None = None

    @property
    def md5(self) -> str | None:
        """The MD5 that an S3 store gives as the ETag of what was uploaded in one part."""
        plain = (self.etag or "").strip('"')
        return plain if _MD5.fullmatch(plain) else None


class Entries(NamedTuple):
    """What lies directly in a folder: files, and names of folders; both sorted."""

    files: list[RemoteFile]
    folders: list[str]


class Content(NamedTuple):
    """A file that was read, as its store described it then."""

    body: bytes
    etag: str | None


class FileIsGone(Exception):
    """The store has no such file any more."""


class FileHasChanged(Exception):
    """The store has another file of this name than it listed."""


class AccessRefused(Exception):
    """The store does not let us read it."""


class Failed(Exception):
    """The store, or the way to it, failed this time: another try may succeed."""


class Store(Protocol):
    """A folder of files on another machine."""

    url: str

    def files(self, folder: str) -> Iterator[RemoteFile]:
        """All files in and below a folder of it."""

    def entries(self, folder: str = "") -> Entries:
        """What lies directly in a folder of it."""

    def read(self, file: RemoteFile) -> Content:
        """One file, whole.

        Raises:
            FileIsGone: It is not there.
            FileHasChanged: It is another one.
            AccessRefused: It must not be read.
            Failed: This time.
        """


def opened_store(url: str, options: Mapping[str, Any] | None = None) -> Store:
    """The folder at a URL.

    Args:
        url: ``s3://``, ``gs://``, ``az://``, or what fsspec opens.
        options: As fsspec takes them (``anon``, ``endpoint_url``, ``key``, ``secret``, ...).
    """
    options = options_for(url, options or {})
    return Bucket(url, options) if url.startswith(_BUCKETS) else OtherFolder(url, options)


def options_for(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What of these options concerns a URL: those of S3 mean nothing to a web server.

    They are copied: s3fs writes into what it is given.
    """
    if "://" not in url:
        return {}
    if url.startswith(("s3://", "s3a://")):
        return copy.deepcopy({k: value for k, value in options.items() if value is not None})
    others = copy.deepcopy({k: value for k, value in options.items() if k not in _OF_S3})
    if options.get("anon") and url.startswith("gs://"):
        others["token"] = "anon"
    if options.get("anon") and url.startswith("az://"):
        others["anon"] = True
    return others


def content_digest(body: bytes) -> str:
    """MD5 of a file's content, which is what S3 tells of one."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


class Bucket:
    """A folder of a bucket."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.url = url.rstrip("/")
        client: Any = {
            "connect_timeout": _SECONDS_TO_CONNECT,
            "read_timeout": _SECONDS_WITHOUT_A_BYTE,
            "timeout": timedelta(hours=1),
        }
        # other tries are made where a file's content is checked, too
        retries: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
        if url.startswith("s3://"):
            bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
            settings = _settings_of_s3(options)
            client["allow_http"] = str(settings.get("endpoint", "")).startswith("http://")
            self._store: Any = S3Store(
                bucket,
                prefix=prefix or None,
                config=settings,
                client_options=client,
                retry_config=retries,
                credential_provider=_credentials(options),
            )
        else:
            is_nobody = options.get("anon") is True or options.get("token") == "anon"
            of_clouds: Any = {"skip_signature": True} if is_nobody else {}
            self._store = from_url(
                self.url, config=of_clouds, client_options=client, retry_config=retries
            )

    def files(self, folder: str) -> Iterator[RemoteFile]:
        """All files in and below a folder of it, as they are listed."""
        with _obstore_errors():
            for chunk in obstore.list(self._store, prefix=folder or None):
                for meta in chunk:
                    yield RemoteFile(meta["path"], meta["size"], meta["e_tag"])

    def entries(self, folder: str = "") -> Entries:
        """What lies directly in a folder of it."""
        with _obstore_errors():
            found = obstore.list_with_delimiter(self._store, prefix=folder or None)
        files = [RemoteFile(m["path"], m["size"], m["e_tag"]) for m in found["objects"]]
        folders = [prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in found["common_prefixes"]]
        return Entries(sorted(files), sorted(folders))

    def read(self, file: RemoteFile) -> Content:
        """One file, whole; asked for once."""
        with _obstore_errors():
            options: Any = {"if_match": file.etag} if file.etag else {}
            result = obstore.get(self._store, file.path, options=options)
            return Content(bytes(result.bytes()), result.meta["e_tag"])


@contextmanager
def _obstore_errors() -> Iterator[None]:
    """The exceptions of obstore in our words."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileIsGone(_first_line(error)) from error
    except PreconditionError as error:
        raise FileHasChanged(_first_line(error)) from error
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise AccessRefused(_first_line(error)) from error
    except (BaseError, OSError, ValueError) as error:
        raise Failed(_first_line(error)) from error


def _settings_of_s3(options: Mapping[str, Any]) -> Any:
    """s3fs' words in obstore's; what is not given comes from the environment."""
    client: Mapping[str, Any] = options.get("client_kwargs") or {}
    endpoint = options.get("endpoint_url") or client.get("endpoint_url")
    named = {
        "endpoint": endpoint,
        "region": client.get("region_name"),
        "access_key_id": options.get("key"),
        "secret_access_key": options.get("secret"),
        "session_token": options.get("token"),
    }
    settings = {name: value for name, value in named.items() if value}
    if options.get("anon"):
        settings["skip_signature"] = True
    return settings


def _credentials(options: Mapping[str, Any]) -> Any:
    """The credentials that other tools of this machine use (environment, profile, role), if any."""
    if options.get("anon") or options.get("key"):
        return None
    from botocore.session import Session

    found = Session(profile=options.get("profile")).get_credentials()
    if found is None:
        return None

    def frozen() -> dict[str, Any]:
        keys = found.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": None,
        }

    return frozen


class OtherFolder:
    """A folder of anything else that fsspec opens."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.url = url.rstrip("/")
        self._files, root = fsspec.core.url_to_fs(self.url, **options)
        self._root = str(root).rstrip("/")

    def files(self, folder: str) -> Iterator[RemoteFile]:
        """All files in and below a folder of it, as they are listed."""
        place = f"{self._root}/{folder}".rstrip("/")
        with _fsspec_errors():
            found = self._files.find(place, detail=True)
        for path, entry in sorted(found.items()):
            yield self._file(path, entry)

    def entries(self, folder: str = "") -> Entries:
        """What lies directly in a folder of it."""
        place = f"{self._root}/{folder}".rstrip("/")
        with _fsspec_errors():
            if not self._files.isdir(place):
                return Entries([], [])
            found = self._files.ls(place, detail=True)
        named = {str(entry["name"]).rstrip("/"): entry for entry in found}
        folders = [n.rsplit("/", 1)[-1] for n, e in named.items() if e["type"] == "directory"]
        files = [self._file(n, e) for n, e in named.items() if e["type"] == "file"]
        return Entries(sorted(files), sorted(folders))

    def read(self, file: RemoteFile) -> Content:
        """One file, whole; asked for once."""
        with _fsspec_errors():
            return Content(self._files.cat_file(f"{self._root}/{file.path}"), None)

    def _file(self, path: str, entry: Mapping[str, Any]) -> RemoteFile:
        return RemoteFile(path[len(self._root) + 1 :], entry.get("size"), _etag(entry))


@contextmanager
def _fsspec_errors() -> Iterator[None]:
    """The exceptions of fsspec's many kinds in our words."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileIsGone(_first_line(error)) from error
    except PermissionError as error:
        raise AccessRefused(_first_line(error)) from error
    except Exception as error:  # each kind has its own
        raise Failed(_first_line(error)) from error


def _etag(entry: Mapping[str, Any]) -> str | None:
    """What a file system says that changes with a file."""
    for name in ("ETag", "etag", "mtime", "LastModified"):
        if entry.get(name):
            return str(entry[name])
    return None


def _first_line(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text or type(error).__name__
