# SPDX-License-Identifier: Apache-2.0
"""Says within seconds whether a server can be reached, and honours HF_HUB_OFFLINE."""

import ssl
import threading
import urllib.error
import urllib.request
from http.client import HTTPException

import huggingface_hub

from sharpdepth_ros.weights.home import FetchError

NETWORK_TIMEOUT = 5.0
"""Seconds a server may take for its first answer: a robot without a network hears so at once."""


def offline() -> bool:
    """Whether the user forbids network access (HF_HUB_OFFLINE, as for the hub's own client)."""
    return bool(huggingface_hub.constants.HF_HUB_OFFLINE)


def require_network(url: str) -> None:
    """Check that the server of a URL answers; any answer will do.

    Raises:
        FetchError: HF_HUB_OFFLINE is set, or nothing answers; the reason alone.
    """
    if offline():
        raise FetchError("HF_HUB_OFFLINE is set, so the network was not tried")
    failures: list[Exception] = []
    # In a thread, because looking up a name may block for longer than any timeout given to it.
    question = threading.Thread(target=_ask, args=(url, failures), daemon=True)
    question.start()
    question.join(NETWORK_TIMEOUT + 1)
    if question.is_alive():
        raise FetchError(f"{url} does not answer within {NETWORK_TIMEOUT:.0f} s")
    if failures:
        raise FetchError(f"{url} cannot be reached: {reason_of(failures[0])}") from failures[0]


def reason_of(error: Exception) -> str:
    """One line that says why a request failed."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _ask(url: str, failures: list[Exception]) -> None:
    try:
        request = urllib.request.Request(url, method="HEAD")
        urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT).close()
    except urllib.error.HTTPError as error:
        error.close()  # an answer
    except (OSError, HTTPException, ValueError) as error:
        # A certificate that this check cannot judge is an answer too.
        if not isinstance(getattr(error, "reason", None), ssl.SSLError):
            failures.append(error)
