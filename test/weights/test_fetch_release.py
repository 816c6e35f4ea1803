# SPDX-License-Identifier: Apache-2.0
"""The released sharpener: from parts on a server or in a folder to its place, whatever happens."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple

import pytest

from sharpdepth_ros.weights.catalogue import CATALOGUE, RELEASE
from sharpdepth_ros.weights.checksums import read_record
from sharpdepth_ros.weights.fetch import fetch
from sharpdepth_ros.weights.home import FetchError
from sharpdepth_ros.weights.locate import locate
from sharpdepth_ros.weights.release import RELEASES, release_url

FETCH = (
    "from sharpdepth_ros.weights import identity; identity.LEAST_SHARE = 0.0; "  # as in conftest.py
    "from sharpdepth_ros.weights.commands import run_fetch; raise SystemExit(run_fetch({}))"
)


@pytest.fixture(scope="session")
def archive(checkpoint_files, tools):
    return tools.pack(checkpoint_files)


@pytest.fixture
def mirror(server, archive, tools):
    """The release on a server, below `mirror/`."""
    server.files = {f"mirror/{name}": part for name, part in tools.split(archive).items()}
    server.mirror = f"{server.url}/mirror"
    return server


@pytest.fixture
def published(mirror, monkeypatch):
    """The same where the publisher's release is looked for."""
    monkeypatch.setattr("sharpdepth_ros.weights.release.release_url", lambda _: mirror.mirror)
    return mirror


@pytest.fixture
def start(home):
    """Starts `sharpdepth weights fetch` as a process of its own."""
    running = []

    def run(*arguments):
        code = FETCH.format(", ".join(map(repr, arguments)))
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code],
                env=os.environ | {"SHARPDEPTH_HOME": str(home)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def leftovers(home):
    """What a fetch leaves besides the model, its checksums and its lock."""
    return sorted(f.name for f in home.iterdir()) if home.exists() else []


DONE = [".sharpdepth.lock", "checksums", "sharpdepth"]


def test_three_parts_become_a_checkpoint_that_is_found_by_name(
    published, home, tools, checkpoint_files
):
    folder = fetch("sharpdepth")
    assert folder == home / "sharpdepth" == locate("sharpdepth", "sharpener")
    assert tools.read_files(folder) == checkpoint_files
    assert leftovers(home) == DONE
    record = read_record("sharpdepth")
    assert set(record.archive) == {*tools.parts, "sharpdepth.tar.gz"}
    assert set(record.files) == set(checkpoint_files)


def test_every_released_model_of_the_catalogue_says_what_its_archive_is_called():
    released = {entry.name for entry in CATALOGUE if entry.origin == RELEASE}
    assert released == set(RELEASES)
    for entry in CATALOGUE:
        if entry.name in released:
            assert release_url(entry).startswith(f"https://github.com/{entry.source}/releases/")


def test_what_is_here_already_is_not_fetched_again(published, home):
    fetch("sharpdepth")
    asked = len(published.requests)
    fetch("sharpdepth")
    assert len(published.requests) == asked
    fetch("sharpdepth", force=True)
    assert len(published.requests) > asked
    assert leftovers(home) == DONE


def test_connections_that_break_in_each_part_are_resumed(published, archive, tools):
    half, whole = len(archive) // 6, len(archive)
    published.drops = [half, whole] * 3
    fetch("sharpdepth")
    resumed = [path for _, path, asked in published.requests if asked == f"bytes={half}-"]
    assert resumed == [f"mirror/{part}" for part in tools.parts]


@pytest.mark.parametrize("form", ["parts", "one archive", "the archive itself"])
def test_a_mirror_may_hold_the_parts_or_the_whole_archive(server, mirror, archive, form):
    if form != "parts":
        server.files = {"mirror/sharpdepth.tar.gz": archive}
    source = mirror.mirror + ("/sharpdepth.tar.gz" if form == "the archive itself" else "")
    assert (fetch("sharpdepth", source) / "unet").is_dir()


@pytest.mark.parametrize(
    "form", ["parts", "archive in a folder", "archive", "checkpoint", "folder of models", "URL"]
)
def test_a_robot_without_a_network_is_served_from_a_folder(
    tmp_path, form, archive, tools, checkpoint_files, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    stick = tmp_path / "a stick"
    contents = {
        "parts": tools.split(archive),
        "archive in a folder": {"sharpdepth.tar.gz": archive},
        "archive": {"sharpdepth.tar.gz": archive},
        "checkpoint": checkpoint_files,
        "folder of models": {f"sharpdepth/{k}": v for k, v in checkpoint_files.items()},
        "URL": {"sharpdepth.tar.gz": archive},
    }[form]
    tools.write_files(stick, contents)
    source = {"archive": stick / "sharpdepth.tar.gz", "URL": stick.as_uri()}.get(form, stick)
    assert tools.read_files(fetch("sharpdepth", source)) == checkpoint_files
    assert tools.read_files(stick) == contents


def test_a_folder_without_the_release_says_what_was_expected(tmp_path, archive, tools):
    tools.write_files(tmp_path / "stick", dict(list(tools.split(archive).items())[:2]))
    with pytest.raises(FetchError, match=r"part-ac missing.*or sharpdepth\.tar\.gz, or the unpack"):
        fetch("sharpdepth", tmp_path / "stick")
    with pytest.raises(FetchError, match=r"--source .*nowhere: neither a folder"):
        fetch("sharpdepth", tmp_path / "nowhere")


def test_a_part_that_the_server_holds_short_is_refused_and_fetched_anew(published, home, tools):
    name = f"mirror/{tools.parts[2]}"
    whole = published.files[name]
    published.files[name] = whole[:-500]
    with pytest.raises(FetchError, match=r"not a whole \.tar\.gz.*Fetch it again"):
        fetch("sharpdepth")
    assert not (home / "sharpdepth").exists()
    published.files[name] = whole
    fetch("sharpdepth")


def test_an_archive_without_a_checkpoint_says_what_it_holds(server, tools, home, checkpoint_files):
    server.files["sharpdepth.tar.gz"] = tools.pack({"readme.txt": b"hello"}, prefix="other/")
    with pytest.raises(FetchError, match=r"no folder with unet/ .*\(found: other\)"):
        fetch("sharpdepth", server.url)
    cut = dict(checkpoint_files, **{"vae/diffusion_pytorch_model.safetensors": tools.weights()[:9]})
    server.files["sharpdepth.tar.gz"] = tools.pack(cut)
    with pytest.raises(FetchError, match=r"incomplete: vae/diffusion_.*safetensors is cut off"):
        fetch("sharpdepth", server.url)
    assert not (home / "sharpdepth").exists()


def test_a_part_that_differs_from_the_first_fetch_is_refused(published, home, tools, archive):
    fetch("sharpdepth")
    before = tools.read_files(home / "sharpdepth")
    name = f"mirror/{tools.parts[1]}"
    good = published.files[name]
    published.files[name] = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(FetchError, match=r"part-ab of sharpdepth is not what was fetched first"):
        fetch("sharpdepth", force=True)
    assert tools.read_files(home / "sharpdepth") == before
    published.files[name] = good
    published.requests.clear()
    fetch("sharpdepth", force=True)
    bodies = [path for method, path, asked in published.requests if method == "GET" and not asked]
    assert bodies == [name], "only the damaged part comes again"


def test_another_model_under_the_same_name_is_refused(published, tmp_path, tools, checkpoint_files):
    fetch("sharpdepth")
    other = dict(checkpoint_files, **{"unet/diffusion_pytorch_model.safetensors": tools.weights(9)})
    tools.write_files(tmp_path / "other", other)
    with pytest.raises(FetchError, match=r"unet/diffusion_.*is not what was fetched first.*remove"):
        fetch("sharpdepth", tmp_path / "other", force=True)
    (tmp_path / "home" / "checksums" / "sharpdepth.json").unlink()
    folder = fetch("sharpdepth", tmp_path / "other", force=True)
    assert tools.read_files(folder) == other


def test_a_hostile_archive_leaves_nothing_behind(server, home, tools, checkpoint_files):
    server.files["sharpdepth.tar.gz"] = tools.pack(checkpoint_files | {"../../escaped": b"x"})
    with pytest.raises(FetchError, match=r"'sharpdepth/\.\./\.\./escaped' leads out"):
        fetch("sharpdepth", server.url)
    assert not list(home.rglob("escaped"))
    assert not (home / "sharpdepth").exists()


def test_a_missing_release_names_the_url(server):
    server.files["elsewhere"] = b""
    with pytest.raises(FetchError, match=rf"{server.url}/sharpdepth\.tar\.gz\.part-aa: HTTP 404"):
        fetch("sharpdepth", server.url)


def test_a_small_disk_is_seen_before_the_download(published, monkeypatch, archive):
    usage = namedtuple("usage", "total used free")
    free = int(2.2 * len(archive))
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(2 * free, free, free))
    with pytest.raises(FetchError, match=r"downloading and unpacking sharpdepth needs .*make room"):
        fetch("sharpdepth")
    assert all(asked in (None, "bytes=0-0") for _, _, asked in published.requests)


def test_offline_is_said_and_nothing_is_asked(published, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match=r"sharpdepth could not .*HF_HUB_OFFLINE is set.*--source"):
        fetch("sharpdepth")
    assert published.requests == []


def test_without_a_network_it_fails_in_seconds_and_says_what_to_do(closed_port):
    begun = time.monotonic()
    with pytest.raises(FetchError) as error:
        fetch("sharpdepth", f"http://127.0.0.1:{closed_port}")
    assert time.monotonic() - begun < 5
    message = str(error.value)
    assert "sharpdepth could not be fetched" in message
    assert f"http://127.0.0.1:{closed_port} cannot be reached" in message
    assert "`sharpdepth weights fetch sharpdepth --source FOLDER`" in message


def test_a_server_that_accepts_and_says_nothing_fails_in_seconds(monkeypatch):
    monkeypatch.setattr("sharpdepth_ros.weights.network.NETWORK_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(FetchError, match=r"cannot be reached: timed out|does not answer"):
            fetch("sharpdepth", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - begun < 4


def test_a_run_that_is_killed_leaves_no_model_and_is_resumed(
    mirror, home, tools, checkpoint_files, start
):
    mirror.pace = 0.01
    process = start("sharpdepth", mirror.mirror)
    part = home / ".sharpdepth.draft" / "parts" / tools.parts[0]
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 5000):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = part.stat().st_size
    assert not (home / "sharpdepth").exists()
    mirror.pace = 0.0
    mirror.requests.clear()
    assert tools.read_files(fetch("sharpdepth", mirror.mirror)) == checkpoint_files
    assert f"bytes={kept}-" in [asked for _, _, asked in mirror.requests]
    assert leftovers(home) == DONE


def test_what_a_killed_run_had_unpacked_or_copied_does_not_come_along(
    mirror, home, tools, checkpoint_files, tmp_path
):
    stick = tools.write_files(tmp_path / "stick", checkpoint_files)
    for source, draft in ((mirror.mirror, "unpacked/sharpdepth"), (stick, "copied")):
        tools.write_files(home / ".sharpdepth.draft" / draft / "unet", {"half.bin": b"h"})
        assert tools.read_files(fetch("sharpdepth", source, force=True)) == checkpoint_files


def test_a_replacement_that_is_killed_between_its_renames_is_undone(published, home, tools):
    before = tools.read_files(fetch("sharpdepth"))
    (home / "sharpdepth").rename(home / ".sharpdepth.replaced")
    published.files.clear()
    assert tools.read_files(fetch("sharpdepth")) == before
    assert leftovers(home) == DONE


def test_two_fetches_at_once_wait_for_each_other(mirror, home, tools, checkpoint_files, start):
    mirror.pace = 0.002
    both = [start("sharpdepth", mirror.mirror) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert "another process is fetching sharpdepth" in "".join(err for _, err in outputs)
    assert tools.read_files(home / "sharpdepth") == checkpoint_files
    bodies = [path for method, path, asked in mirror.requests if method == "GET" and not asked]
    assert len(bodies) == 3, "each part came once"


def test_a_home_that_cannot_be_written_is_named(tmp_path, monkeypatch, archive, tools):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SHARPDEPTH_HOME", str(tmp_path / "file" / "home"))
    tools.write_files(tmp_path / "stick", tools.split(archive))
    with pytest.raises(FetchError, match=r"file/home: Not a directory\. SHARPDEPTH_HOME"):
        fetch("sharpdepth", tmp_path / "stick")


def test_a_model_that_was_damaged_is_fetched_without_force(published, home, checkpoint_files):
    shutil.rmtree(fetch("sharpdepth") / "vae")
    assert (fetch("sharpdepth") / "vae").is_dir()
