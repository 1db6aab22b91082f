"""A folder of a bucket, by obstore."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store, from_url

from morphoclip.remote.remote_files import (
    AccessRefused,
    Content,
    Entries,
    Failed,
    FileHasChanged,
    FileIsGone,
    RemoteFile,
    first_line,
)

_SECONDS_TO_CONNECT = timedelta(seconds=10)
_SECONDS_WITHOUT_A_BYTE = timedelta(seconds=30)
_ASKED_AGAIN = timedelta(minutes=5)


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
        """All files in and below a folder of it."""
        with _obstore_errors():
            chunks = obstore.list(self._store, prefix=folder or None)
            found = [RemoteFile(m["path"], m["size"], m["e_tag"]) for c in chunks for m in c]
        folders = {"", folder.rstrip("/"), *(parent for f in found for parent in _parents(f.path))}
        yield from (file for file in found if not _marks(file, folders))

    def entries(self, folder: str = "") -> Entries:
        """What lies directly in a folder of it."""
        with _obstore_errors():
            found = obstore.list_with_delimiter(self._store, prefix=folder or None)
        files = [RemoteFile(m["path"], m["size"], m["e_tag"]) for m in found["objects"]]
        places = {prefix.rstrip("/") for prefix in found["common_prefixes"]}
        folders = [place.rsplit("/", 1)[-1] for place in places]
        known = {"", folder.rstrip("/"), *places}
        return Entries(sorted(f for f in files if not _marks(f, known)), sorted(folders))

    def read(self, file: RemoteFile) -> Content:
        """One file, whole; asked for once."""
        with _obstore_errors():
            options: Any = {"if_match": file.etag} if file.etag else {}
            result = obstore.get(self._store, file.path, options=options)
            return Content(bytes(result.bytes()), result.meta["e_tag"])


def _parents(path: str) -> Iterator[str]:
    """The folders that a path lies in."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _marks(file: RemoteFile, folders: set[str]) -> bool:
    """Whether an object only marks a folder, as S3's console makes them."""
    return file.size == 0 and file.path.rstrip("/") in folders


@contextmanager
def _obstore_errors() -> Iterator[None]:
    """The exceptions of obstore in our words."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileIsGone(first_line(error)) from error
    except PreconditionError as error:
        raise FileHasChanged(first_line(error)) from error
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise AccessRefused(first_line(error)) from error
    except (BaseError, OSError, ValueError) as error:
        raise Failed(first_line(error)) from error


def _settings_of_s3(options: Mapping[str, Any]) -> Any:
    """s3fs' words in obstore's; what is not given comes from the environment."""
    client: Mapping[str, Any] = options.get("client_kwargs") or {}
    endpoint = options.get("endpoint_url") or client.get("endpoint_url")
    named = {
        "endpoint": endpoint,
        "region": client.get("region_name") or _region(options),
        "access_key_id": options.get("key"),
        "secret_access_key": options.get("secret"),
        "session_token": options.get("token"),
    }
    settings = {name: value for name, value in named.items() if value}
    if options.get("anon"):
        settings["skip_signature"] = True
    return settings


def _region(options: Mapping[str, Any]) -> str | None:
    """The region that other tools of this machine take, if any."""
    from botocore.session import Session

    region = Session(profile=options.get("profile")).get_config_variable("region")
    return str(region) if region else None


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
            "expires_at": datetime.now(UTC) + _ASKED_AGAIN,  # botocore renews them where it must
        }

    return frozen
