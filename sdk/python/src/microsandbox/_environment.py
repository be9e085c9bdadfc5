"""Where the server is and how it is reached, out of arguments, environment and `.env`."""

from __future__ import annotations

import ipaddress
import os
import pathlib
import urllib.request
from typing import Dict, Optional
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:5555"


def read_dotenv(path: pathlib.Path) -> Dict[str, str]:
    """NAME=VALUE lines of a file, `export` and quotes allowed; nothing if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    found: Dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if not separator or name.startswith("#"):
            continue
        if name.startswith("export "):
            name = name[len("export ") :]
        found[name.strip()] = _unquote(value.strip())
    return found


def _unquote(value: str) -> str:
    if value[:1] in ("'", '"'):
        end = value.find(value[0], 1)
        return value[1:end] if end > 0 else value
    return value.partition(" #")[0].rstrip()


def resolve(server_url: Optional[str], api_key: Optional[str]) -> "tuple[str, Optional[str]]":
    """The server's URL and the key. What is an argument wins over the environment, that over `.env`.

    `.env` (of the working directory) is read only if MSB_API_KEY is unset, as it always was.
    """
    settings: Dict[str, str] = {}
    if "MSB_API_KEY" not in os.environ:
        settings.update(read_dotenv(pathlib.Path(".env")))
    settings.update(os.environ)
    url = server_url or settings.get("MSB_SERVER_URL") or DEFAULT_URL
    return url.rstrip("/"), api_key or settings.get("MSB_API_KEY") or None


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine: such a server is never asked for through a proxy."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_hint(url: str) -> str:
    """For an error about a server that cannot be reached: which variable sends the requests elsewhere."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    name = next((each for each in (parts.scheme, "all") if each in proxies), None)
    if name is None or is_loopback(url) or urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return (
        f" {name.upper()}_PROXY is set, so it is asked for through that proxy: "
        "set NO_PROXY to the server's host if none stands between."
    )
