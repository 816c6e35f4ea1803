# SPDX-License-Identifier: Apache-2.0
"""Bad bags: what can be done is done, the rest is listed, and the status says so."""

import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from sharpdepth_ros.cli import main
from sharpdepth_ros.recordings.bags import rosbags_messages as messages

from .conftest import (
    BEGIN,
    STEP,
    STRING,
    Bag,
    H,
    W,
    camera_info,
    digest,
    image,
    picture,
    read,
    read_topic,
    stamp_of,
    text,
)

FRAMES = 40


@pytest.fixture
def long_bag():
    bag = Bag()
    for number in range(FRAMES):
        bag.add_frame(number)
    return bag


@pytest.fixture
def run(tmp_path, capsys, stand_in):
    """Runs the command on a bag. The status, what it said, and which frames have depth."""

    def command(source: Path, *arguments: str):
        out = tmp_path / "out"
        before = digest(source)
        status = main(["bag", str(source), str(out), *arguments])
        assert digest(source) == before
        said = capsys.readouterr()
        frames = []
        if out.exists():
            depths = read_topic(out, "/depth/image_rect", messages.IMAGE)
            frames = [(stamp_of(m) - BEGIN) // STEP for m in depths]
        return status, said.err + said.out, frames

    return command


def _file(bag: Path) -> Path:
    return next(p for p in bag.iterdir() if p.suffix in (".db3", ".mcap"))


def _cut(file: Path, share: float) -> None:
    os.truncate(file, int(file.stat().st_size * share))


@pytest.mark.parametrize("with_metadata", [True, False], ids=["metadata", "no_metadata"])
@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_truncated_bag_is_used_up_to_where_it_ends(
    long_bag, tmp_path, run, storage, with_metadata
):
    source = long_bag.write(tmp_path / "in", storage)
    whole = read(source)
    if not with_metadata:
        (source / "metadata.yaml").unlink()
    _cut(_file(source), 0.6)
    status, said, frames = run(source)
    assert status == 1
    assert "what can be read is used" in said
    assert frames == list(range(len(frames)))
    assert 0.5 * FRAMES < len(frames) < 0.65 * FRAMES
    copied = [m for m in read(tmp_path / "out") if m[0].startswith("/camera")]
    assert copied == [message for message in whole if message in copied]


def test_an_mcap_cut_inside_its_only_chunk_gives_the_messages_before_the_cut(
    recording, tmp_path, run
):
    file = _file(recording.write(tmp_path / "in", "mcap"))  # six frames: less than a chunk
    _cut(file, 0.5)
    status, said, frames = run(file)
    assert status == 1
    assert "ends in the middle" in said
    assert frames in ([0, 1], [0, 1, 2])


@pytest.mark.parametrize("compression", ["storage", "message"])
def test_a_packed_mcap_that_was_cut_off_is_used(tmp_path, run, compression):
    bag, rng = Bag(), np.random.default_rng(0)
    for number in range(FRAMES):
        noise = rng.integers(0, 255, (200, 200, 3), np.uint8)  # does not shrink
        bag.add_frame(number, pixels=noise, width=200, height=200)
    source = bag.write(tmp_path / "in", "mcap", compression)
    _cut(_file(source), 0.7)
    status, _, frames = run(source)
    assert status == 1
    assert 0.6 * FRAMES < len(frames) < 0.75 * FRAMES


def test_an_mcap_without_index_and_footer_loses_nothing(long_bag, tmp_path, run):
    file = _file(long_bag.write(tmp_path / "in", "mcap"))
    data = file.read_bytes()
    at, kind = 8, 0
    while kind != 0x0F:  # the record that ends the data section
        start = at
        kind, length = struct.unpack_from("<BQ", data, at)
        at += 9 + length
    os.truncate(file, start)
    status, said, frames = run(file)
    assert status == 1
    assert "was not closed or is damaged" in said
    assert frames == list(range(FRAMES))


def test_a_damaged_chunk_in_the_middle_costs_only_itself(tmp_path, run):
    bag = Bag()
    big = 400
    for number in range(12):
        pixels = picture(number, big, big)
        bag.add_frame(number, pixels=pixels, width=big, height=big)
    source = bag.write(tmp_path / "in", "mcap", "storage")
    file = _file(source)
    data = bytearray(file.read_bytes())
    chunks = [at for at in range(len(data)) if data[at : at + 4] == b"\x28\xb5\x2f\xfd"]
    assert len(chunks) >= 3
    middle = chunks[len(chunks) // 2]
    data[middle + 6 : middle + 40] = bytes(34)
    file.write_bytes(data)
    status, said, frames = run(source)
    assert status == 1
    assert "damaged" in said
    assert 6 <= len(frames) < 12
    assert {0, 11} <= set(frames)


def test_rows_behind_a_damaged_page_are_found(long_bag, tmp_path, run):
    source = long_bag.write(tmp_path / "in", "sqlite3")
    file = _file(source)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = bytes([0xFF]) * 4096
    file.write_bytes(data)
    status, said, frames = run(source)
    assert status == 1
    assert "damaged" in said
    assert FRAMES / 2 <= len(frames) < FRAMES + 1
    assert {0, FRAMES - 1} <= set(frames)


def test_a_recorder_that_was_killed_left_its_journal(long_bag, tmp_path, run):
    source = long_bag.write(tmp_path / "in", "sqlite3")
    file, killed = _file(source), tmp_path / "killed"
    database = sqlite3.connect(file)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("CREATE TEMP TABLE late AS SELECT * FROM messages WHERE id > 40")
    database.execute("DELETE FROM messages WHERE id > 40")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("INSERT INTO messages SELECT * FROM late")
    database.commit()
    killed.mkdir()
    for name in (file.name, f"{file.name}-wal"):
        shutil.copyfile(source / name, killed / name)
    database.close()
    status, said, frames = run(killed)
    assert status == 1
    assert "its journal (-wal) is read too" in said
    assert frames == list(range(FRAMES))


def test_a_file_of_a_bag_that_is_missing_is_named_and_the_others_are_used(tmp_path, run):
    parts = []
    for part in range(2):
        bag = Bag()
        for number in range(part * 3, part * 3 + 3):
            bag.add_frame(number)
        parts.append(_file(bag.write(tmp_path / f"part{part}", "mcap")))
    source = tmp_path / "in"
    source.mkdir()
    shutil.copyfile(parts[1], source / "in_1.mcap")
    described = (tmp_path / "part1/metadata.yaml").read_text().replace(
        "- part1.mcap", "- in_0.mcap\n  - in_1.mcap"
    )  # fmt: skip
    (source / "metadata.yaml").write_text(described)
    status, said, frames = run(source)
    assert (status, frames) == (1, [3, 4, 5])
    assert "in_0.mcap is listed in metadata.yaml and missing" in said


@pytest.mark.parametrize("content", [b"", b"no bag at all, and not short either" * 400])
@pytest.mark.parametrize("name", ["bag.db3", "bag.mcap"])
def test_what_is_no_bag_ends_with_status_2_and_the_reason(tmp_path, run, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    status, said, _ = run(file)
    assert status == 2
    assert name in said


def test_a_camera_of_several_that_is_missing_is_listed(tmp_path, run, capsys):
    bag = Bag()
    for number in range(2):
        bag.add_frame(number, camera="/front")
    source = bag.write(tmp_path / "in", "mcap")
    out = tmp_path / "two"
    arguments = ["--cameras", "front,left", "--image", "image_raw"]
    assert main(["bag", str(source), str(out), *arguments]) == 1
    assert "camera /left is left out: the bag has no images on /left" in capsys.readouterr().err
    assert len(read_topic(out, "/front/points", messages.POINT_CLOUD)) == 2


def test_images_whose_camera_info_is_missing_are_counted(tmp_path, run):
    bag = Bag()
    for number in range(6):
        bag.add_frame(number, info=number != 3)
    status, said, frames = run(bag.write(tmp_path / "in", "mcap"))
    assert (status, frames) == (1, [0, 1, 2, 4, 5])
    assert "1 of 6 images have no camera_info on /camera/camera_info that fits" in said
    assert "sync=latest" in said


def test_a_type_that_the_bag_describes_and_nobody_knows_is_copied_with_its_description(
    recording, tmp_path, run
):
    kind = "my_robot_msgs/msg/Battery"
    recording.custom[kind] = ("float32 volts\n", "RIHS01_" + "ab" * 32)
    raw = bytes([0, 1, 0, 0, 1, 2, 3, 4])
    recording.add("/battery", kind, BEGIN, raw)
    source = recording.write(tmp_path / "in", "mcap")
    status, _, frames = run(source)
    assert (status, frames) == (0, list(range(6)))
    assert ("/battery", BEGIN, raw) in read(tmp_path / "out")
    with Reader(tmp_path / "out") as reader:
        (battery,) = (c for c in reader.connections if c.topic == "/battery")
        assert battery.msgdef.data == "float32 volts\n"
        assert battery.digest == "RIHS01_" + "ab" * 32


def test_a_type_that_nobody_describes_is_copied_and_named(recording, tmp_path, run):
    kind = "my_robot_msgs/msg/Battery"
    recording.custom[kind] = ("", "RIHS01_" + "ab" * 32)
    raw = bytes([0, 1, 0, 0, 1, 2, 3, 4])
    recording.add("/battery", kind, BEGIN, raw)
    source = recording.write(tmp_path / "in", "sqlite3")
    # As older recorders wrote it: a topic, and nothing about its type.
    database = sqlite3.connect(_file(source))
    database.execute("DELETE FROM message_definitions WHERE topic_type = ?", (kind,))
    database.execute("UPDATE topics SET type_description_hash = '' WHERE type = ?", (kind,))
    database.commit()
    database.close()
    (source / "metadata.yaml").write_text(
        (source / "metadata.yaml").read_text().replace("RIHS01_" + "ab" * 32, "''")
    )
    status, said, frames = run(source)
    assert (status, frames) == (0, list(range(6)))
    assert "/battery: nothing describes the type my_robot_msgs/msg/Battery; its 1 messages" in said
    assert ("/battery", BEGIN, raw) in read(tmp_path / "out")
    with AnyReader([tmp_path / "out"]) as reader:  # and the bag can still be opened
        assert reader.message_count == 3 * 6 + 1 + 3 * 6


def test_messages_that_are_not_what_their_type_says_are_copied_and_counted(
    recording, tmp_path, run
):
    recording.add("/camera/image_raw", messages.IMAGE, BEGIN + 5, b"\0\1\0\0broken")
    status, said, frames = run(recording.write(tmp_path / "in", "mcap"))
    assert (status, frames) == (1, list(range(6)))
    assert "/camera/image_raw has messages that cannot be read" in said
    assert ("/camera/image_raw", BEGIN + 5, b"\0\1\0\0broken") in read(tmp_path / "out")


def test_messages_in_another_encoding_than_ros2s_are_left_out_and_named(tmp_path, run):
    from mcap.writer import Writer

    file = tmp_path / "in.mcap"
    bag = Bag()
    bag.add_frame(0)
    with file.open("wb") as stream:
        writer = Writer(stream)
        writer.start(profile="ros2")
        note = writer.register_schema("note", "jsonschema", b"{}")
        channel = writer.register_channel("/note", "json", note)
        writer.add_message(channel, BEGIN, b'{"a": 1}', BEGIN)
        for topic, kind, at, message in bag.entries:
            definition = messages.TYPES.generate_msgdef(kind, ros_version=2)[0].encode()
            schema = writer.register_schema(kind, "ros2msg", definition)
            data = bytes(messages.TYPES.serialize_cdr(message, kind))
            writer.add_message(writer.register_channel(topic, "cdr", schema), at, data, at)
        writer.finish()
    status, said, frames = run(file)
    assert (status, frames) == (1, [0])
    assert "/note: 1 messages are left out: they are encoded as 'json'" in said


def test_sizes_may_change_with_their_camera_info_and_not_without(tmp_path, run):
    bag = Bag()
    for number in range(6):
        size = (W, H) if number % 2 else (2 * W, 2 * H)
        pixels = picture(number, *size)
        described = (W, H) if number == 4 else size
        bag.add_frame(number, pixels=pixels, width=described[0], height=described[1])
    status, said, frames = run(bag.write(tmp_path / "in", "mcap"))
    assert (status, frames) == (1, [0, 1, 2, 3, 5])
    assert "frames without depth, size_mismatch: the image is 96x64, but camera_info" in said
    depths = read_topic(tmp_path / "out", "/depth/image_rect", messages.IMAGE)
    assert [(d.width, d.height) for d in depths] == [(96, 64), (W, H), (96, 64), (W, H), (W, H)]


def test_stamps_that_jump_back_are_followed_and_named(tmp_path, run):
    bag = Bag()
    order = [5, 6, 7, 0, 1, 2, 9]  # a simulation that was reset
    for recorded_at, number in enumerate(order):
        bag.add_frame(recorded_at, stamp=BEGIN + number * STEP * 20)
    source = bag.write(tmp_path / "in", "mcap")
    status, said, frames = run(source)
    assert status == 1
    assert frames == [number * 20 for number in order]
    assert "/camera/image_raw: stamps jump back: by 14.000 s" in said


def test_a_frame_that_fails_is_listed_and_the_next_is_done(long_bag, tmp_path, run, stand_in):
    stand_in.fail_at = {3, 7}
    status, said, frames = run(long_bag.write(tmp_path / "in", "mcap"))
    assert status == 1
    assert frames == [n for n in range(FRAMES) if n not in (2, 6)]
    assert "frames that failed (2 times): RuntimeError: the device had enough" in said


def test_an_encoding_that_is_not_known_is_named(tmp_path, run):
    bag = Bag()
    bag.add_frame(0)
    bag.add("/camera/image_raw", messages.IMAGE, BEGIN + 9000,
            image(np.zeros((H, W), np.float32), BEGIN + 50, "hsv_hd"))  # fmt: skip
    bag.add("/camera/camera_info", messages.CAMERA_INFO, BEGIN + 9500, camera_info(BEGIN + 50))
    status, said, frames = run(bag.write(tmp_path / "in", "mcap"))
    assert (status, frames) == (1, [0])
    assert "frames without depth, bad_image: image encoding 'hsv_hd' is not supported" in said


def test_a_bag_without_images_says_what_it_has(tmp_path, run):
    bag = Bag()
    bag.add("/chatter", STRING, BEGIN, text("hello"))
    status, said, _ = run(bag.write(tmp_path / "in", "mcap"))
    assert status == 2
    assert "has no images; it has /chatter (std_msgs/msg/String)" in said


def test_bags_need_no_ros(recording, tmp_path):
    source = recording.write(tmp_path / "in", "mcap")
    program = (
        "import sys\n"
        "for name in ('rclpy', 'sensor_msgs', 'std_msgs', 'message_filters', 'cv_bridge'):\n"
        "    sys.modules[name] = None\n"
        "from sharpdepth_ros.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["bag", str(source), str(tmp_path / "out"), "-p", "processing_resolution=32"]
    subprocess.run([sys.executable, "-c", program, *arguments, "--end", "0.15"], check=True)
    assert len(read_topic(tmp_path / "out", "/points", messages.POINT_CLOUD)) == 2
