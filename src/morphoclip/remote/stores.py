"""Where files lie that are not on this machine: buckets by obstore, anything else by fsspec."""

import copy
from collections.abc import Mapping
from typing import Any

from morphoclip.remote.bucket import Bucket
from morphoclip.remote.other_folder import OtherFolder
from morphoclip.remote.remote_files import Store

_BUCKETS = ("s3://", "gs://", "az://")
_OF_S3 = ("anon", "config_kwargs", "client_kwargs", "endpoint_url", "key", "secret", "token")

CLIENTS = {"gcsfs": ("gs://", "gs"), "adlfs": ("az://", "azure")}
"""Packages through which fsspec opens what is not S3: their addresses, and our optional groups."""


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
