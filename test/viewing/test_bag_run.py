# SPDX-License-Identifier: Apache-2.0
"""Bags with depth: what is on which topic, frames put together, and bags that are not whole."""

import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="needs rosbags (pip install .[recordings])")

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from sharpdepth_ros.cli import main
from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.viewing.bag_run import is_bag, run_of_bag

STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types


def header(stamp, frame_id="camera_optical_frame"):
    time = TYPES["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    return TYPES["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)


def image(stamp, pixels, encoding):
    data = np.ascontiguousarray(pixels)
    return TYPES["sensor_msgs/msg/Image"](
        header=header(stamp),
        height=data.shape[0],
        width=data.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=data.nbytes // data.shape[0],
        data=data.view(np.uint8).ravel(),
    )


def compressed(stamp, data):
    return TYPES["sensor_msgs/msg/CompressedImage"](
        header=header(stamp), format="png", data=np.frombuffer(data, np.uint8)
    )


def camera_info(stamp, camera):
    roi = TYPES["sensor_msgs/msg/RegionOfInterest"](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    p = np.zeros((3, 4))
    p[:, :3] = camera.matrix
    return TYPES["sensor_msgs/msg/CameraInfo"](
        header=header(stamp),
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=camera.matrix.ravel(),
        r=np.eye(3).ravel(),
        p=p.ravel(),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def point_cloud(stamp, points, rgb=None):
    """An organised cloud of points [H, W, 3], with colours packed in a float32 where given."""
    planes = [points.astype(np.float32)]
    names = ["x", "y", "z"]
    if rgb is not None:
        r, g, b = (rgb[..., i].astype(np.uint32) for i in range(3))
        packed = (0xFF000000 | (r << 16) | (g << 8) | b).view(np.float32)
        planes.append(packed[..., None])
        names.append("rgb")
    data = np.ascontiguousarray(np.concatenate(planes, axis=-1))
    fields = [
        TYPES["sensor_msgs/msg/PointField"](name=name, offset=4 * i, datatype=7, count=1)
        for i, name in enumerate(names)
    ]
    return TYPES["sensor_msgs/msg/PointCloud2"](
        header=header(stamp),
        height=data.shape[0],
        width=data.shape[1],
        fields=fields,
        is_bigendian=False,
        point_step=4 * len(names),
        row_step=4 * len(names) * data.shape[1],
        data=data.view(np.uint8).ravel(),
        is_dense=False,
    )


def diagnostics(stamp, values, level=0, message="10 frames per second"):
    pairs = [TYPES["diagnostic_msgs/msg/KeyValue"](key=k, value=v) for k, v in values.items()]
    status = TYPES["diagnostic_msgs/msg/DiagnosticStatus"](
        level=level, name="/sharpdepth: depth", message=message, hardware_id="cpu", values=pairs
    )
    return TYPES["diagnostic_msgs/msg/DiagnosticArray"](header=header(stamp), status=[status])


def write_bag(path, messages, storage="sqlite3"):
    """Write (topic, nanoseconds of recording, message) in order."""
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {}
        for topic, received, message in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            data = STORE.serialize_cdr(message, kind)
            writer.write(connections[topic], received, data)
    return path


START, STEP = 1_700_000_000_123_456_789, 100_000_000


def recording(make_frame, count=3, prefix="/", image_topic=None, lag=40_000_000):
    """What a recorder beside the node receives."""
    for i in range(count):
        frame = make_frame(stamp=START + i * STEP)
        stamp, now = frame.stamp, frame.stamp + lag
        yield image_topic or f"{prefix}image", stamp, image(stamp, frame.rgb, "rgb8")
        yield f"{prefix}depth/camera_info", now, camera_info(stamp, frame.camera)
        yield f"{prefix}depth/image_rect", now, image(stamp, frame.depth + i, "32FC1")
        cloud = point_cloud(stamp, unproject(frame.depth + i, frame.camera), frame.rgb)
        yield f"{prefix}points", now, cloud
        yield f"{prefix}depth/discrepancy", now, image(stamp, frame.discrepancy, "32FC1")
        values = {"stage metric (ms)": "12.5", "stage align (ms)": "-", "output rate (Hz)": "9.9"}
        yield "/diagnostics", now, diagnostics(stamp, values)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_frame_has_all_that_was_published_with_its_stamp(make_frame, tmp_path, storage):
    path = write_bag(tmp_path / "bag", recording(make_frame), storage)
    run = run_of_bag(path)
    frames = list(run.frames)
    expected = make_frame()
    assert [f.stamp for f in frames] == [START + i * STEP for i in range(3)]
    assert frames[0].name == "1700000000.123456789"
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.depth, expected.depth + i)
        np.testing.assert_array_equal(frame.rgb, expected.rgb)
        np.testing.assert_array_equal(frame.discrepancy, expected.discrepancy)
        assert frame.camera == expected.camera
        points = unproject(expected.depth + i, expected.camera).reshape(-1, 3)
        np.testing.assert_array_equal(frame.cloud().points, points)
        np.testing.assert_array_equal(frame.cloud().colours, expected.rgb.reshape(-1, 3))
        assert frame.cloud().spacing == pytest.approx(expected.cloud().spacing)
        assert frame.latency == pytest.approx(40.0)
    assert frames[0].timings == {}  # the first diagnostics came after the first frame
    assert frames[2].timings == {"metric": 12.5}
    assert run.notes == []


def test_a_single_file_is_a_bag_too(make_frame, tmp_path):
    bag = write_bag(tmp_path / "bag", recording(make_frame), "mcap")
    assert len(list(run_of_bag(next(bag.glob("*.mcap"))).frames)) == 3


def test_millimetres_and_compressed_images_are_read(make_frame, tmp_path):
    frame = make_frame()
    depth = frame.depth.copy()
    depth[0, 0] = np.nan
    millimetres = np.where(np.isfinite(depth), depth * 1000, 0).astype(np.uint16)
    _, png = cv2.imencode(".png", frame.rgb[..., ::-1])
    path = write_bag(
        tmp_path / "bag",
        [
            ("/front/image/compressed", START, compressed(START, png.tobytes())),
            ("/front/camera_info", START, camera_info(START, frame.camera)),
            ("/front/depth/image_rect", START, image(START, millimetres, "16UC1")),
        ],
    )
    (read,) = run_of_bag(path).frames
    np.testing.assert_allclose(read.depth, depth, atol=1e-6)
    np.testing.assert_array_equal(read.rgb, frame.rgb)
    # Nothing was recorded beside the node: when messages came says nothing about it.
    assert read.latency is None
    assert len(read.cloud().points) == depth.size - 1


def test_a_remapped_image_is_found_where_it_is_the_only_one(make_frame, tmp_path):
    topic = "/camera/image_raw"
    path = write_bag(tmp_path / "bag", recording(make_frame, image_topic=topic))
    assert next(iter(run_of_bag(path).frames)).rgb is not None
    with pytest.raises(ValueError, match="has no images on /other"):
        run_of_bag(path, image="/other")


def test_several_cameras_are_told_apart(make_frame, tmp_path):
    messages = [*recording(make_frame, 1, "/left/"), *recording(make_frame, 2, "/right/")]
    path = write_bag(tmp_path / "bag", messages)
    with pytest.raises(ValueError, match=r"several cameras \(/left/, /right/\).*--namespace"):
        run_of_bag(path)
    assert len(list(run_of_bag(path, namespace="right").frames)) == 2
    with pytest.raises(ValueError, match="in namespace 'rear'"):
        run_of_bag(path, namespace="rear")


def test_messages_that_cannot_be_used_are_told_and_the_others_shown(make_frame, tmp_path):
    messages = list(recording(make_frame, 4))
    strange = image(START + STEP, np.zeros((4, 4), np.uint8), "8UC1")
    short = image(START + 2 * STEP, np.zeros((4, 4), np.float32), "32FC1")
    short.height = 5
    replaced = 0
    for i, (topic, received, message) in enumerate(messages):
        if topic == "/depth/image_rect" and message.header.stamp.nanosec == (START + STEP) % 10**9:
            messages[i], replaced = (topic, received, strange), replaced + 1
        if topic == "/depth/discrepancy" and received == START + 2 * STEP + 40_000_000:
            messages[i], replaced = (topic, received, short), replaced + 1
    assert replaced == 2
    messages.append(
        ("/diagnostics", START + 5 * STEP, diagnostics(START, {}, 2, "the device fell off"))
    )
    run = run_of_bag(write_bag(tmp_path / "bag", messages))
    assert [f.stamp for f in run.frames] == [START + i * STEP for i in (0, 3, 2)]
    problems, remarks = "\n".join(run.problems), "\n".join(run.remarks)
    assert "/depth/image_rect has messages that cannot be used: depth images are" in problems
    assert "this one is '8UC1'" in problems
    assert "image data has 64 bytes, but step 16 times 5 rows of a 4x5 32FC1 image" in problems
    assert "the node said: the device fell off" in remarks
    assert "1 stamps have messages, but no depth" in remarks
    assert "1 of 3 frames lack a message" in remarks


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_damaged_bag_is_shown_as_far_as_it_goes(make_frame, tmp_path, storage):
    bag = write_bag(tmp_path / "bag", recording(make_frame, 6), storage)
    file = next(f for f in bag.iterdir() if f.suffix in (".db3", ".mcap"))
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 4])
    run = run_of_bag(bag)
    frames = list(run.frames)
    assert 3 <= len(frames) < 6
    np.testing.assert_array_equal(frames[2].depth, make_frame().depth + 2)
    assert any("damaged" in problem for problem in run.problems)


def test_of_a_part_of_a_bag_what_was_met_is_told(make_frame, tmp_path):
    messages = list(recording(make_frame, 5))
    strange = image(START, np.zeros((4, 4), np.uint8), "8UC1")
    messages[2] = ("/depth/image_rect", messages[2][1], strange)
    run = run_of_bag(write_bag(tmp_path / "bag", messages))
    run.limit(2)
    assert len(list(run.frames)) == 2
    assert any("/depth/image_rect has messages" in problem for problem in run.problems)


def test_a_bag_without_depth_says_what_it_has_and_what_to_do(make_frame, tmp_path, capsys):
    frame = make_frame()
    path = write_bag(tmp_path / "bag", [("/image", START, image(START, frame.rgb, "rgb8"))])
    assert main(["report", str(path), "--output", str(tmp_path / "report.html")]) == 2
    said = capsys.readouterr().err
    assert "no topic depth/image_rect" in said
    assert "It has /image (sensor_msgs/msg/Image)" in said
    assert "`sharpdepth bag`" in said
    assert not (tmp_path / "report.html").exists()


def test_what_is_no_bag_is_refused(tmp_path):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag/metadata.yaml").write_text("nothing: here")
    (tmp_path / "file.mcap").write_bytes(b"no mcap")
    for path in (tmp_path / "bag", tmp_path / "file.mcap"):
        assert is_bag(path)
        with pytest.raises(ValueError, match=str(path)):
            run_of_bag(path)


def test_without_rosbags_the_extra_is_named(make_frame, tmp_path, monkeypatch, capsys):
    path = write_bag(tmp_path / "bag", recording(make_frame, 1))
    for name in [n for n in sys.modules if n.startswith("sharpdepth_ros.recordings.bags.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rosbags.rosbag2", None)
    assert main(["report", str(path), "--output", str(tmp_path / "report.html")]) == 2
    assert "pip install 'sharpdepth_ros[recordings]'" in capsys.readouterr().err


def test_what_sharpdepth_bag_makes_is_a_run(make_frame, tmp_path):
    frame = make_frame()
    source = write_bag(
        tmp_path / "bag",
        [
            message
            for i in range(2)
            for message in (
                ("/camera/image_raw", START + i * STEP, image(START + i * STEP, frame.rgb, "rgb8")),
                (
                    "/camera/camera_info",
                    START + i * STEP,
                    camera_info(START + i * STEP, frame.camera),
                ),
            )
        ],
    )
    made = tmp_path / "with_depth"
    parameters = ["--param", "processing_resolution=64", "--param", "device=cpu"]
    assert main(["bag", str(source), str(made), *parameters]) == 0
    run = run_of_bag(made)
    frames = list(run.frames)
    assert [f.stamp for f in frames] == [START, START + STEP]
    for read in frames:
        np.testing.assert_array_equal(read.rgb, frame.rgb)
        assert read.camera == frame.camera
        np.testing.assert_array_equal(
            read.cloud().points, unproject(read.depth, read.camera)[read.depth > 0]
        )
        assert read.latency is None
    assert run.notes == []
