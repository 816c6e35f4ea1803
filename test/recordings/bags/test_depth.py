# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth bag`: everything is copied as it was, and the depth of the chosen frames is added."""

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
    as_jpeg,
    camera_info,
    digest,
    image,
    picture,
    read,
    read_topic,
    stamp_of,
    text,
)

ADDED = ("/depth/image_rect", "/depth/camera_info", "/points")
pytestmark = pytest.mark.usefixtures("stand_in")


def _frames(path, topic="/depth/image_rect"):
    """Which of the recording's frames have depth, by their stamps."""
    return [(stamp_of(m) - BEGIN) // STEP for m in read_topic(path, topic, messages.IMAGE)]


def _single_file(path):
    return next(p for p in path.iterdir() if p.suffix in (".db3", ".mcap"))


@pytest.mark.parametrize("whole", [True, False], ids=["folder", "file"])
@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_all_messages_are_copied_byte_for_byte_with_their_times_qos_and_types(
    recording, tmp_path, storage, whole
):
    source = recording.write(tmp_path / "in", storage)
    source = source if whole else _single_file(source)
    before = digest(source)
    assert main(["bag", str(source), str(tmp_path / "out")]) == 0
    assert digest(source) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]
    found = read(tmp_path / "out")
    assert [m for m in found if m[0] not in ADDED] == read(source)
    with Reader(source) as old, Reader(tmp_path / "out") as new:
        assert _single_file(tmp_path / "out").suffix == (
            ".db3" if storage == "sqlite3" else ".mcap"
        )
        kept = {c.topic: c for c in new.connections}
        for connection in old.connections:
            copy = kept[connection.topic]
            assert (copy.msgtype, copy.msgdef, copy.ext) == (
                connection.msgtype,
                connection.msgdef,
                connection.ext,
            )
            assert copy.digest == messages.TYPES.hash_rihs01(copy.msgtype)
            assert copy.msgcount == connection.msgcount
    with AnyReader([tmp_path / "out"]) as reader:  # every type can be read from the bag itself
        for connection, _, data in reader.messages():
            reader.deserialize(data, connection.msgtype)


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "jpeg"])
def test_each_frame_gets_depth_camera_and_points_with_its_own_header(tmp_path, compressed):
    bag = Bag()
    for number in range(3):
        bag.add_frame(number, compressed=compressed)
    source, out = bag.write(tmp_path / "in", "mcap"), tmp_path / "out"
    assert main(["bag", str(source), str(out), "-p", "point_stride=2"]) == 0
    depths = read_topic(out, "/depth/image_rect", messages.IMAGE)
    infos = read_topic(out, "/depth/camera_info", messages.CAMERA_INFO)
    clouds = read_topic(out, "/points", messages.POINT_CLOUD)
    assert len(depths) == len(infos) == len(clouds) == 3
    for number, (depth, info, cloud) in enumerate(zip(depths, infos, clouds, strict=True)):
        for message in (depth, info, cloud):
            assert stamp_of(message) == BEGIN + number * STEP
            assert message.header.frame_id == "camera_optical_frame"
        metres = depth.data.view(np.float32).reshape(H, W)
        seen = as_jpeg(picture(number)) if compressed else picture(number)
        np.testing.assert_allclose(metres, 1 + seen[..., 0] / 100, rtol=1e-6)
        assert info.k.tolist() == camera_info(0).k.tolist()
        assert (cloud.width, cloud.height) == (W // 2, H // 2)
        z = cloud.data.view(np.float32).reshape(H // 2, W // 2, 4)[..., 2]
        np.testing.assert_array_equal(z, metres[::2, ::2])
    # Recorded when the second half of the frame was: no sooner could anyone have published it.
    assert {at for topic, at, _ in read(out) if topic in ADDED} == {
        BEGIN + number * STEP + 2000 for number in range(3)
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--every", "2"], [0, 2, 4]),
        (["--start", "0.15"], [2, 3, 4, 5]),
        (["--start", "0.1", "--end", "0.35"], [1, 2, 3]),
        (["--end", str((BEGIN + 1.5 * STEP) / 1e9)], [0, 1]),
        (["--start", "0.15", "--every", "3"], [2, 5]),
    ],
)
def test_part_of_a_recording_and_every_nth_frame(recording, tmp_path, options, expected):
    source, out = recording.write(tmp_path / "in", "sqlite3"), tmp_path / "out"
    assert main(["bag", str(source), str(out), *options]) == 0
    assert _frames(out) == expected
    words = [m.data for m in read_topic(out, "/chatter", STRING)]
    if "--every" in options and "--start" not in options:
        assert len(words) == 6  # only depth is thinned out


def test_what_was_latched_before_the_part_is_in_it_from_its_beginning(recording, tmp_path):
    latched = messages.NODE_QOS._replace(durability=type(messages.NODE_QOS.durability)(1))
    recording.qos["/map"] = [latched]
    recording.entries.insert(0, ("/map", STRING, BEGIN, text("the world")))
    source, out = recording.write(tmp_path / "in", "mcap"), tmp_path / "out"
    assert main(["bag", str(source), str(out), "--start", "0.25"]) == 0
    start = BEGIN + STEP // 4 * 10
    assert [(at, bytes(d)) for t, at, d in read(out) if t == "/map"] == [
        (start, bytes(messages.TYPES.serialize_cdr(text("the world"), STRING)))
    ]
    assert min(at for _, at, _ in read(out)) == start


@pytest.mark.parametrize(
    ("storage", "compression"),
    [("sqlite3", "file"), ("sqlite3", "message"), ("mcap", "message"), ("mcap", "storage")],
)
def test_packed_bags_are_written_and_read(recording, tmp_path, storage, compression):
    source = recording.write(tmp_path / "in", storage, compression)
    packed, plain = tmp_path / "packed", tmp_path / "plain"
    assert main(["bag", str(source), str(packed), "--compression", compression]) == 0
    assert main(["bag", str(source), str(plain)]) == 0
    assert read(packed) == read(plain)
    sizes = [sum(f.stat().st_size for f in path.iterdir()) for path in (packed, plain)]
    assert sizes[0] < sizes[1] / 2


def test_a_single_file_and_another_storage(recording, tmp_path):
    source, out = recording.write(tmp_path / "in", "sqlite3"), tmp_path / "out.mcap"
    assert main(["bag", str(source), str(out), "--outputs", "preview,discrepancy,metric"]) == 0
    assert out.is_file()
    topics = {topic for topic, _, _ in read(out)}
    assert topics - {topic for topic, _, _ in read(source)} == {
        "/depth/preview",
        "/depth/discrepancy",
        "/depth/metric",
    }


def test_several_cameras_in_one_run(tmp_path):
    bag = Bag()
    for number in range(3):
        bag.add_frame(number, camera="/front")
        bag.add_frame(number, camera="/left", compressed=True)
    source, out = bag.write(tmp_path / "in", "mcap"), tmp_path / "out"
    assert (
        main(["bag", str(source), str(out), "--cameras", "front,left", "--image", "image_raw"]) == 0
    )
    assert _frames(out, "/front/depth/image_rect") == [0, 1, 2]
    assert _frames(out, "/left/depth/image_rect") == [0, 1, 2]


def test_a_bag_without_camera_info_takes_intrinsics(tmp_path):
    bag = Bag()
    bag.add_frame(0, info=False)
    source, out = bag.write(tmp_path / "in", "mcap"), tmp_path / "out"
    assert main(["bag", str(source), str(out), "--intrinsics", "40,41,24,16"]) == 0
    (info,) = read_topic(out, "/depth/camera_info", messages.CAMERA_INFO)
    assert info.k.tolist() == [40, 0, 24, 0, 41, 16, 0, 0, 1]


def test_a_latched_camera_info_serves_all_frames_with_sync_latest(tmp_path):
    bag = Bag()
    bag.add("/camera/camera_info", messages.CAMERA_INFO, BEGIN, camera_info(BEGIN - STEP))
    for number in range(3):
        bag.add_frame(number, info=False)
    source, out = bag.write(tmp_path / "in", "mcap"), tmp_path / "out"
    arguments = ["bag", str(source), str(out), "-p", "sync=latest", "--start", "0.05"]
    assert main(arguments) == 0
    assert _frames(out) == [1, 2]


def test_parameters_are_the_nodes_from_its_files_and_from_the_command_line(recording, tmp_path):
    source, out = recording.write(tmp_path / "in", "mcap"), tmp_path / "out"
    file = tmp_path / "parameters.yaml"
    file.write_text("/**:\n  ros__parameters:\n    depth_encoding: 16UC1\n    min_depth: 2.0\n")
    arguments = ["--params-file", str(file), "-p", "min_depth:=1.5", "-p", "max_depth=3"]
    assert main(["bag", str(source), str(out), *arguments]) == 0
    depth = read_topic(out, "/depth/image_rect", messages.IMAGE)[0]
    assert depth.encoding == "16UC1"
    found = depth.data.view(np.uint16).reshape(H, W)
    metres = 1 + picture(0)[..., 0] / 100
    np.testing.assert_allclose(
        found, np.where((metres >= 1.5) & (metres <= 3), metres * 1000, 0), atol=1
    )


def test_the_only_colour_camera_is_found_among_other_images(recording, tmp_path):
    for number in range(2):
        depth = np.full((H, W), 1000, np.uint16)
        message = image(depth, BEGIN + number * STEP, "16UC1")
        recording.add("/camera/aligned_depth", messages.IMAGE, BEGIN + number * STEP, message)
    recording.add_frame(0, compressed=True)
    source, out = recording.write(tmp_path / "in", "mcap"), tmp_path / "out"
    assert main(["bag", str(source), str(out)]) == 0
    assert _frames(out) == list(range(6))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "/nowhere"], "no images on /nowhere; images are on /camera/image_raw"),
        (["--camera-info", "/nowhere"], "no camera_info on /nowhere; camera_info are on /camera/"),
        (["--outputs", "cloud"], "--outputs cloud: known are depth, camera_info, points"),
        (["-p", "point_strid=2"], "no parameter point_strid; the node has"),
        (["-p", "point_stride=0"], "point_stride must be from 1 to 64, got 0"),
        (["--start", "99"], "nothing was recorded from 99.0 to None"),
        (["--every", "0"], "every is 0"),
        (["--compression", "storage", "--storage", "sqlite3"], "sqlite3 has none"),
        (["--cameras", "left,right"], "no images on /left/image"),
    ],
)
def test_wrong_usage_ends_with_status_2_and_says_what_there_is(
    recording, tmp_path, capsys, arguments, message
):
    source = recording.write(tmp_path / "in", "mcap")
    assert main(["bag", str(source), str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_ambiguous_choice_names_the_candidates(tmp_path, capsys):
    bag = Bag()
    bag.add_frame(0, camera="/front"), bag.add_frame(0, camera="/left")
    source = bag.write(tmp_path / "in", "mcap")
    assert main(["bag", str(source), str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert (
        "choose with --image, or several with --cameras: images are on /front/image_raw, /left"
        in said
    )


def test_topics_that_are_there_already_are_not_mixed_with_new_ones(recording, tmp_path, capsys):
    source = recording.write(tmp_path / "in", "mcap")
    assert main(["bag", str(source), str(tmp_path / "once")]) == 0
    again = ["bag", str(tmp_path / "once"), str(tmp_path / "twice"), "--image", "/camera/image_raw"]
    assert main(again) == 2
    assert "has /depth/camera_info, /depth/image_rect, /points already" in capsys.readouterr().err
    assert main([*again, "--namespace", "second"]) == 0
    assert _frames(tmp_path / "twice", "/second/depth/image_rect") == list(range(6))


def test_an_output_that_exists_is_never_overwritten(recording, tmp_path, capsys):
    source = recording.write(tmp_path / "in", "mcap")
    (tmp_path / "out").mkdir()
    assert main(["bag", str(source), str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
