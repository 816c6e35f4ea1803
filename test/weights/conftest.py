# SPDX-License-Identifier: Apache-2.0
"""A file server with faults to order, a small checkpoint, and a scratch home for each test."""

import hashlib
import io
import json
import re
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save

PARTS = [f"sharpdepth.tar.gz.part-{part}" for part in ("aa", "ab", "ac")]


class FileServer:
    """Serves bytes by path on 127.0.0.1, and misbehaves as told.

    Attributes:
        files: content by path, without the leading slash.
        drops: for coming answers with a body, the bytes after which the connection is cut.
        errors: for coming requests, a status to answer with instead.
        redirects: location by path.
        ranges: whether Range is honoured.
        pace: seconds to wait after each kilobyte.
        requests: what was asked: method, path, Range header.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.drops: list[int] = []
        self.errors: list[int] = []
        self.ranges = True
        self.pace = 0.0
        self.requests: list[tuple[str, str, str | None]] = []
        self.commit = "89abcdef0123456789abcdef0123456789abcdef"
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                server.answer(self, with_body=False)

            def do_GET(self):
                server.answer(self, with_body=True)

            def log_message(self, *_):
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._httpd.server_port}"

    def stop(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler, with_body: bool) -> None:
        path, asked = request.path.partition("?")[0].lstrip("/"), request.headers.get("Range")
        self.requests.append((request.command, path, asked))
        content = self.files.get(path)
        if path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[path])
            request.end_headers()
            return
        if with_body and self.errors and asked != "bytes=0-0":
            request.send_error(self.errors.pop(0))
            return
        if content is None:
            request.send_error(404)
            return
        bounds = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "") if self.ranges else None
        start = int(bounds[1]) if bounds else 0
        if start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.end_headers()
            return
        body = content[start : int(bounds[2]) + 1 if bounds and bounds[2] else None]
        request.send_response(206 if bounds else 200)
        if bounds:
            end = start + len(body) - 1
            request.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        request.send_header("Content-Length", str(len(body)))
        request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        request.send_header("X-Repo-Commit", self.commit)  # the hub's client asks for it
        request.end_headers()
        if with_body:
            self._send(request, body, whole=asked == "bytes=0-0")

    def _send(self, request: BaseHTTPRequestHandler, body: bytes, whole: bool) -> None:
        if self.drops and not whole:
            request.wfile.write(body[: self.drops.pop(0)])
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True
            return
        try:
            for offset in range(0, len(body), 1024) if self.pace else [0]:
                request.wfile.write(body[offset : offset + 1024] if self.pace else body)
                time.sleep(self.pace)
        except OSError:
            pass  # the client was killed


@pytest.fixture
def server(monkeypatch) -> Iterator[FileServer]:
    """A server for one test; requests to it never go through a proxy."""
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    server = FileServer()
    yield server
    server.stop()


@pytest.fixture
def closed_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """This package's folder and the hub's cache, both empty; pauses between attempts are short."""
    monkeypatch.setenv("SHARPDEPTH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("sharpdepth_ros.weights.download.PAUSES", (0.0,) * 4)
    # The models here are small; test_identity.py compares sizes.
    monkeypatch.setattr("sharpdepth_ros.weights.identity.LEAST_SHARE", 0.0)
    return tmp_path / "home"


def weights(seed: int = 0, count: int = 30_000) -> bytes:
    """A safetensors file that does not compress."""
    return save({"weight": np.random.default_rng(seed).standard_normal(count, dtype=np.float32)})


@pytest.fixture(scope="session")
def checkpoint_files() -> dict[str, bytes]:
    """A checkpoint's files by path, as small as one can be."""
    return {
        "unet/config.json": b'{"in_channels": 8}',
        "unet/diffusion_pytorch_model.safetensors": weights(1),
        "vae/config.json": b"{}",
        "vae/diffusion_pytorch_model.safetensors": weights(2, 500),
        "text_encoder/config.json": b"{}",
        "text_encoder/model.safetensors": weights(3, 500),
        "tokenizer/tokenizer.json": b"{}",
        "scheduler/scheduler_config.json": b"{}",
    }


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    return {
        f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()
    }


def pack(files: dict[str, bytes], *others: tarfile.TarInfo, prefix: str = "sharpdepth/") -> bytes:
    """A .tar.gz of the files, with entries of other types after them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in others:
            archive.addfile(member)
    return buffer.getvalue()


def split(archive: bytes) -> dict[str, bytes]:
    """The archive in the release's three parts."""
    third = len(archive) // 3 + 1
    return {part: archive[i * third : (i + 1) * third] for i, part in enumerate(PARTS)}


def write_hub_cache(cache: Path, repository: str, files: dict[str, bytes]) -> Path:
    """A repository as the hub's client keeps it; the snapshot's folder."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "blobs").mkdir()
    for name, content in files.items():
        large = name.endswith(".safetensors")
        blob = hashlib.sha256(content) if large else hashlib.sha1(b"blob %d\0" % len(content))
        if not large:
            blob.update(content)
        (folder / "blobs" / blob.hexdigest()).write_bytes(content)
        link = folder / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder / "blobs" / blob.hexdigest())
    return folder / "snapshots" / commit


def publish_on_hub(server: FileServer, repository: str, files: dict[str, bytes]) -> None:
    """Make the server answer for a repository as the hub does."""
    siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
    info = json.dumps({"id": repository, "sha": server.commit, "siblings": siblings}).encode()
    tree = [
        {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
        for name, content in files.items()
    ]
    api = f"api/models/{repository}"
    server.files |= {
        "": b"the hub",
        api: info,
        f"{api}/revision/main": info,
        f"{api}/tree/{server.commit}": json.dumps(tree).encode(),
    }
    for name, content in files.items():
        server.files[f"{repository}/resolve/{server.commit}/{name}"] = content


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """The functions above: tests import nothing from each other."""
    return SimpleNamespace(
        parts=PARTS,
        weights=weights,
        write_files=write_files,
        read_files=read_files,
        pack=pack,
        split=split,
        write_hub_cache=write_hub_cache,
        publish_on_hub=publish_on_hub,
    )
