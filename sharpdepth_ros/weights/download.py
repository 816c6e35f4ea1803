# SPDX-License-Identifier: Apache-2.0
"""Downloads one file over HTTP, and goes on where a broken connection or a killed run left off."""

import errno
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from sharpdepth_ros.weights.home import FetchError, write_durably
from sharpdepth_ros.weights.network import NETWORK_TIMEOUT, reason_of

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each attempt after a failed one; then it is given up."""

GOOD_PROGRESS = 8 * 1024**2
"""Bytes after which an attempt that failed does not count: a bad link still gets there."""

STALL_TIMEOUT = 20.0
"""Seconds without a byte after which a connection counts as broken."""

CHUNK = 256 * 1024
TEMPORARY = (408, 425, 429)


class NotOnServer(FetchError):
    """The server has no such file (HTTP 404)."""


def download(url: str, target: Path, on_bytes: Callable[[int], None]) -> None:
    """Download to `target`, continuing the bytes that are there already.

    Args:
        url: http or https.
        target: the file; `target.name + ".state"` beside it remembers which version it is of.
        on_bytes: called with the change of the file's size, negative when it starts again.

    Raises:
        FetchError: the server refuses, or keeps failing; what has come stays, to be continued.
        NotOnServer: it has no such file.
    """
    failed = 0
    while True:
        before = _size(target)
        try:
            if _transfer(url, target, on_bytes):
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            error.close()
            _refuse_if_final(url, error)
            reason = reason_of(error)
        except (OSError, HTTPException) as error:
            reason = reason_of(error)
        failed = 1 if _size(target) - before >= GOOD_PROGRESS else failed + 1
        if failed > len(PAUSES):
            raise FetchError(
                f"{url}: {reason}, {failed} times in a row; {_size(target)} bytes are kept, "
                "the same command continues from there"
            )
        time.sleep(PAUSES[failed - 1])


def remote_size(url: str) -> int | None:
    """Bytes of a file on a server, None when it does not say.

    Raises:
        FetchError: the server refuses or fails.
        NotOnServer: it has no such file.
    """
    # The first byte alone instead of HEAD: links to release files are signed for GET.
    request = urllib.request.Request(url, headers={"Range": "bytes=0-0"})
    try:
        with urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT) as response:
            return _extent(response)[1]
    except urllib.error.HTTPError as error:
        error.close()
        _refuse_if_final(url, error)
        return None  # a passing fault: the download itself tries again
    except (OSError, HTTPException) as error:
        raise FetchError(f"{url} cannot be reached: {reason_of(error)}") from error


def state_file(target: Path) -> Path:
    """Remembers the server's version of a file that is not whole yet."""
    return target.with_name(target.name + ".state")


def _transfer(url: str, target: Path, on_bytes: Callable[[int], None]) -> bool:
    """One attempt; whether the file is whole now."""
    have = _size(target)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=STALL_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        # Nothing lies behind what is here: it is whole, or of another version of the file.
        if error.headers.get("Content-Range", "") == f"bytes */{have}":
            return True
        _discard(target, on_bytes)
        return False
    with response:
        start, total = _extent(response)
        if start and (start != have or not _same_version(target, response, total)):
            _discard(target, on_bytes)
            return False
        if have and not start:
            _discard(target, on_bytes)  # the server sends everything again
        _remember_version(target, response, total)
        _append(response, target, on_bytes)
    return total is None or _size(target) == total


def _append(response: HTTPResponse, target: Path, on_bytes: Callable[[int], None]) -> None:
    with target.open("ab") as file:
        # read1 hands over what has come: a run that is killed on a slow link loses nothing of it.
        while chunk := response.read1(CHUNK):
            with _writing(target):
                file.write(chunk)
                file.flush()
            on_bytes(len(chunk))


def _extent(response: HTTPResponse) -> tuple[int, int | None]:
    """Where the answer starts in the file, and how long the file is."""
    if response.status == 206:
        extent = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "")
        )
        if extent:
            return int(extent[1]), None if extent[2] == "*" else int(extent[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _version(response: HTTPResponse, total: int | None) -> dict[str, str | int | None]:
    headers = response.headers
    return {"version": headers.get("ETag") or headers.get("Last-Modified"), "size": total}


def _same_version(target: Path, response: HTTPResponse, total: int | None) -> bool:
    """Whether the bytes here and those on the server are of the same file."""
    try:
        return json.loads(state_file(target).read_text()) == _version(response, total)
    except (FileNotFoundError, ValueError):
        return False


def _remember_version(target: Path, response: HTTPResponse, total: int | None) -> None:
    with _writing(target):
        write_durably(state_file(target), json.dumps(_version(response, total)).encode())


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Tell the disk's errors from the network's: trying again does not help against them."""
    try:
        yield
    except OSError as error:
        hint = ": make room" if error.errno == errno.ENOSPC else ""
        raise FetchError(f"{target} cannot be written: {error.strerror}{hint}") from error


def _discard(target: Path, on_bytes: Callable[[int], None]) -> None:
    on_bytes(-_size(target))
    target.unlink(missing_ok=True)


def _refuse_if_final(url: str, error: urllib.error.HTTPError) -> None:
    """Raise for an answer that will be the same next time."""
    if error.code in (404, 410):
        raise NotOnServer(f"{url}: {reason_of(error)}") from error
    if error.code < 500 and error.code not in TEMPORARY:
        raise FetchError(f"{url}: {reason_of(error)}") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
