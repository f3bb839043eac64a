"""Keep passwords and keys in addresses out of files and messages."""

from __future__ import annotations

import re

_SECRET = re.compile(r"(key|token|secret|sig|signature|password|pwd|auth\w*|credential\w*|client_?id)$", re.IGNORECASE)
_USER = re.compile(r"(?<=//)[^/?#\s]*@")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)


def without_keys(address: str) -> str:
    """An address that can be published: values of parameters such as ``key`` and ``access_token``, and a password, become ``…``."""
    place, *marked = re.split(r"([?#])", _USER.sub("", address))
    for mark, values in zip(marked[::2], marked[1::2], strict=True):
        parts = [part.partition("=") for part in values.split("&")]
        place += mark
        place += "&".join(f"{name}=…" if value and _SECRET.search(name) else name + sign + value for name, sign, value in parts)
    return place


def without_keys_in(text: str) -> str:
    """A text in which each address is one that can be published."""
    return _ADDRESS.sub(lambda found: without_keys(found[0]), text)
