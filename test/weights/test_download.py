# SPDX-License-Identifier: Apache-2.0
"""One file over HTTP: broken connections, servers that refuse, and full disks."""

from pathlib import Path

import pytest

from sharpdepth_ros.weights.download import NotOnServer, download, remote_size
from sharpdepth_ros.weights.home import FetchError

CONTENT = bytes(range(256)) * 800


@pytest.fixture
def target(tmp_path):
    return tmp_path / "file"


def get(server, target):
    """Download and return how the size changed."""
    changes = []
    server.files.setdefault("file", CONTENT)
    download(f"{server.url}/file", target, changes.append)
    return changes


def test_a_broken_connection_is_resumed_where_it_broke(server, target):
    server.drops = [70_000, 10_000]
    assert sum(get(server, target)) == len(CONTENT)
    assert target.read_bytes() == CONTENT
    assert [asked for _, _, asked in server.requests] == [None, "bytes=70000-", "bytes=80000-"]


def test_a_resumed_download_follows_redirects_as_release_files_have_them(server, target):
    server.redirects["file"] = "/signed/file?token=1"
    server.files["signed/file"], server.drops = CONTENT, [70_000]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[-1] == ("GET", "signed/file", "bytes=70000-")


def test_a_server_that_ignores_ranges_sends_it_all_again(server, target):
    server.drops, server.ranges = [70_000], False
    assert sum(get(server, target)) == len(CONTENT)
    assert target.read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_meanwhile_is_not_mixed_with_the_old(server, target):
    server.drops = [70_000] + [0] * 9
    with pytest.raises(FetchError):
        get(server, target)
    assert target.stat().st_size > 0
    server.files["file"] = bytes(reversed(CONTENT))
    server.drops = []
    get(server, target)
    assert target.read_bytes() == server.files["file"]


def test_a_connection_that_always_breaks_is_given_up_and_keeps_what_came(server, target):
    server.drops = [100] * 50
    with pytest.raises(FetchError, match="ended early, 5 times in a row; 500 bytes are kept"):
        get(server, target)
    assert target.read_bytes() == CONTENT[:500]


def test_an_attempt_that_brought_a_lot_does_not_count_as_failed(server, target, monkeypatch):
    monkeypatch.setattr("sharpdepth_ros.weights.download.GOOD_PROGRESS", 1000)
    server.drops = [1000] * 50
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_a_server_error_is_tried_again(server, target):
    server.errors = [500, 503, 429]
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_a_lasting_server_error_is_named(server, target):
    server.errors = [500] * 9
    with pytest.raises(FetchError, match=r"/file: HTTP 500 .*5 times"):
        get(server, target)


@pytest.mark.parametrize(("status", "error"), [(404, NotOnServer), (403, FetchError)])
def test_a_refusal_is_final_and_names_the_file(server, target, status, error):
    server.errors = [status]
    with pytest.raises(error, match=f"/file: HTTP {status}"):
        get(server, target)
    assert len(server.requests) == 1


def test_a_whole_file_is_not_sent_again(server, target):
    get(server, target)
    assert get(server, target) == []
    assert target.read_bytes() == CONTENT


def test_bytes_that_are_more_than_the_server_has_are_thrown_away(server, target):
    target.write_bytes(CONTENT + b"more")
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_the_size_is_known_before_the_download(server):
    server.files["file"] = CONTENT
    assert remote_size(f"{server.url}/file") == len(CONTENT)
    server.ranges = False
    assert remote_size(f"{server.url}/file") == len(CONTENT)


def test_a_full_disk_is_named_and_not_tried_again(server, monkeypatch):
    monkeypatch.setattr("sharpdepth_ros.weights.download.write_durably", lambda *_: None)
    with pytest.raises(FetchError, match=r"/dev/full cannot be written: No space left"):
        get(server, Path("/dev/full"))
    assert len(server.requests) == 1
