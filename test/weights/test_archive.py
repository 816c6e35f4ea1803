# SPDX-License-Identifier: Apache-2.0
"""Unpacking: parts as one archive, and archives that are damaged or hostile."""

import tarfile
from collections import namedtuple

import pytest

from sharpdepth_ros.weights.archive import ArchiveError, unpack
from sharpdepth_ros.weights.home import FetchError, weights_home

FILES = {"a/one.txt": b"one", "a/b/two.bin": bytes(range(256)) * 40}


def member(name, type=tarfile.REGTYPE, linkname=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type, linkname
    return info


@pytest.fixture
def unpacked(tmp_path, tools):
    """Packs, unpacks, and returns what came out; nothing may appear outside the folder."""
    weights_home().mkdir()

    def run(*others, archive=None):
        packed = tmp_path / "in" / "x.tar.gz"
        packed.parent.mkdir()
        packed.write_bytes(tools.pack(FILES, *others, prefix="") if archive is None else archive)
        before = set(tmp_path.rglob("*"))
        folder = tmp_path / "out"
        try:
            unpack([packed], folder, lambda _: None)
        finally:
            appeared = set(tmp_path.rglob("*")) - before
            assert all(path == folder or folder in path.parents for path in appeared)
            assert not any(path.is_symlink() for path in appeared)
        return tools.read_files(folder)

    return run


def test_an_archive_in_parts_is_read_as_one(tmp_path, tools):
    weights_home().mkdir()
    parts = tools.split(tools.pack(FILES))
    tools.write_files(tmp_path, parts)
    read = []
    unpack([tmp_path / part for part in parts], tmp_path / "out", read.append)
    assert tools.read_files(tmp_path / "out" / "sharpdepth") == FILES
    assert sum(read) == sum(len(part) for part in parts.values())


def test_a_link_to_a_file_of_the_archive_becomes_that_file(unpacked):
    got = unpacked(
        member("a/b/late", tarfile.SYMTYPE, "../soft"),
        member("a/soft", tarfile.SYMTYPE, "one.txt"),
        member("hard", tarfile.LNKTYPE, "a/one.txt"),
    )
    assert got["a/soft"] == got["a/b/late"] == got["hard"] == b"one"


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (member("../escaped"), r"'../escaped' leads out of its folder"),
        (member("a/../../escaped"), r"leads out"),
        (member("/tmp/escaped"), r"'/tmp/escaped' leads out"),
        (member("a/link", tarfile.SYMTYPE, "../../escaped"), r"'a/link' leads out"),
        (member("a/link", tarfile.SYMTYPE, "/etc/passwd"), r"'a/link' leads out"),
        (member("link", tarfile.LNKTYPE, "../in/x.tar.gz"), r"'link' leads out"),
        (member("link", tarfile.LNKTYPE, "/etc/passwd"), r"'link' leads out"),
        (member("link", tarfile.SYMTYPE, "nothing"), r"'link' leads to 'nothing': no file"),
        (member("link", tarfile.SYMTYPE, "link"), r"'link' leads to 'link': no file"),
        (member("null", tarfile.CHRTYPE), r"'null', neither a file nor a folder"),
        (member("pipe", tarfile.FIFOTYPE), r"'pipe', neither a file nor a folder"),
        (member("a/one.txt"), r"'one.txt' twice"),
        (member("a/one.txt", tarfile.DIRTYPE), r"'one.txt' twice"),
        (member("a/one.txt/inside"), r"'one.txt' twice"),
    ],
    ids=lambda value: value.name if isinstance(value, tarfile.TarInfo) else "",
)
def test_an_archive_that_would_leave_its_folder_is_refused(unpacked, hostile, message):
    with pytest.raises(ArchiveError, match=message):
        unpacked(hostile)


def test_a_file_behind_a_link_is_not_written_through_it(unpacked):
    """The classic escape: a link to a folder outside, then a file below the link."""
    with pytest.raises(ArchiveError, match="leads out"):
        unpacked(member("a/door", tarfile.SYMTYPE, "../../in"), member("a/door/escaped"))


def damage(kind, whole):
    middle = len(whole) // 2
    return {
        "a byte differs": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
        "the checksum at its end differs": whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
        "half of it": whole[:middle],
        "its end is missing": whole[:-20],
        "an error page": b"<html>not found</html>",
        "empty": b"",
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "a byte differs",
        "the checksum at its end differs",
        "half of it",
        "its end is missing",
        "an error page",
        "empty",
    ],
)
def test_a_damaged_archive_is_refused(unpacked, tools, kind):
    with pytest.raises(ArchiveError, match=r"x\.tar\.gz: not a whole \.tar\.gz"):
        unpacked(archive=damage(kind, tools.pack(FILES)))


def test_a_file_that_the_disk_cannot_hold_is_refused_before_it_is_written(unpacked, monkeypatch):
    usage = namedtuple("usage", "total used free")(10_000, 9_000, 1_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=r"unpacking a/b/two\.bin needs .* GiB free: make room"):
        unpacked()
