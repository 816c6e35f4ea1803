# SPDX-License-Identifier: Apache-2.0
"""Rerun: what is in a saved recording, by Rerun's own reader; the served page; and back again."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import cv2
import numpy as np
import pytest

from sharpdepth_ros.cli import main

pytest.importorskip("rerun", reason="needs rerun-sdk (pip install .[view])")

from rerun.chunk import RrdReader

from sharpdepth_ros.viewing.frames import Run
from sharpdepth_ros.viewing.rerun_log import FRAME, STAMP, RerunLog
from sharpdepth_ros.viewing.rerun_run import run_of_rerun_file

STAGES = {"metric": 12.0, "publish depth/metric": 30.0}
START = 1_700_000_000_123_456_789


@pytest.fixture
def recording(make_frame, tmp_path):
    """A saved run of two frames, the second without a camera."""
    log = RerunLog("two frames", point_stride=2)
    log.save(tmp_path / "run.rrd")
    log.log(make_frame(stamp=START, latency=50.0, timings=STAGES))
    log.log(make_frame(stamp=START + 100, camera=None, timings={"metric": 13.0}))
    log.note(Run("two frames", [], {"mode": "sharpdepth"}, ["it rained"]))
    log.close()
    return tmp_path / "run.rrd"


def test_a_frame_larger_than_screens_is_thinned(make_frame, tmp_path):
    frame = make_frame()
    height, width = 2400, 3200
    large = dataclasses.replace(
        frame,
        depth=cv2.resize(frame.depth, (width, height)),
        rgb=cv2.resize(frame.rgb, (width, height)),
        metric_depth=None,
        discrepancy=None,
        camera=frame.camera.resized(width, height),
    )
    log = RerunLog("large")
    log.save(tmp_path / "large.rrd")
    log.log(large)
    log.close()
    (kept,) = run_of_rerun_file(tmp_path / "large.rrd").frames
    assert kept.depth.shape == (height // 2, width // 2)
    np.testing.assert_allclose(kept.camera.fx, large.camera.fx / 2, rtol=1e-6)
    assert len(kept.points.points) <= height * width / 4


def chunks(path, entity):
    return [c.to_record_batch() for c in RrdReader(path).stream() if c.entity_path == f"/{entity}"]


def test_a_saved_recording_has_every_entity_on_one_timeline_with_stamps(recording, frame):
    reader = RrdReader(recording)
    assert [r.application_id for r in reader.recordings()] == ["sharpdepth"]
    assert len(reader.blueprints()) == 1
    rows = {}
    for chunk in reader.stream():
        if not chunk.is_static:
            assert {STAMP, FRAME} <= set(chunk.timeline_names)
            rows[chunk.entity_path] = rows.get(chunk.entity_path, 0) + chunk.num_rows
    assert rows == {
        "/camera": 1,
        "/camera/image": 2,
        "/camera/depth": 2,
        "/camera/metric": 2,
        "/camera/discrepancy": 2,
        "/points": 2,  # the second clears the first
        "/timings/metric": 2,
        r"/timings/publish\ depth\/metric": 1,
        "/latency": 1,
    }
    stamps = [s.value for b in chunks(recording, "camera/depth") for s in b.column(STAMP)]
    assert sorted(stamps) == [START, START + 100]


def test_the_points_are_those_of_the_depth_image(recording, frame):
    batch = next(b for b in chunks(recording, "points") if "Points3D:positions" in b.schema.names)
    positions = np.array(batch.column("Points3D:positions")[0].as_py())
    assert len(positions) == frame.depth[::2, ::2].size
    # Pixel (row 4, column 6) is the 4/2 * 32 + 6/2 th point.
    z = frame.depth[4, 6]
    expected = ((6 - 31.0) / 60 * z, (4 - 24.0) / 62 * z, z)
    np.testing.assert_allclose(positions[2 * 32 + 3], expected, rtol=1e-6)


def test_the_camera_has_the_right_intrinsics(recording, frame):
    (batch,) = chunks(recording, "camera")
    matrix = np.reshape(batch.column("Pinhole:image_from_camera")[0].as_py(), (3, 3)).T
    np.testing.assert_allclose(matrix, frame.camera.matrix)
    np.testing.assert_array_equal(batch.column("Pinhole:resolution")[0].as_py(), [[64, 48]])


def test_a_recording_comes_back_as_the_run_that_it_was(recording, make_frame):
    run = run_of_rerun_file(recording)
    first, second = run.frames
    expected = make_frame()
    for read in (first, second):
        np.testing.assert_array_equal(read.depth, expected.depth)
        np.testing.assert_array_equal(read.metric_depth, expected.metric_depth)
        np.testing.assert_array_equal(read.discrepancy, expected.discrepancy)
        # Chroma bleeds at the board's edge; away from it JPEG costs a few levels.
        np.testing.assert_allclose(read.rgb[:4].astype(int), expected.rgb[:4], atol=12)
    assert (first.stamp, second.stamp) == (START, START + 100)
    assert (first.camera, second.camera) == (expected.camera, None)
    assert (first.latency, second.latency) == (50.0, None)
    assert list(first.timings.items()) == list(STAGES.items())
    assert second.points is None
    np.testing.assert_array_equal(first.points.points, expected.cloud(2).points)
    np.testing.assert_array_equal(first.points.colours, expected.cloud(2).colours)
    assert run.settings["mode"] == "sharpdepth"
    assert run.notes == ["it rained"]


def test_images_are_viewed_through_the_pipeline_and_bad_ones_told(frame, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/photo.png"), frame.rgb)
    (tmp_path / "in/broken.png").write_bytes(b"nothing")
    path = tmp_path / "run.rrd"
    arguments = ["--save", str(path), "--device", "cpu", "--processing-resolution", "64"]
    assert main(["view", str(tmp_path / "in"), *arguments, "--intrinsics", "60,62,31,24"]) == 1
    said = capsys.readouterr()
    assert "broken.png is not an image that can be read" in said.err
    assert f"1 frames written to {path}" in said.out
    (read,) = run_of_rerun_file(path).frames
    assert read.stamp is None
    assert read.camera.fx == 60
    assert {"metric", "sharpen"} <= read.timings.keys()


def test_what_a_killed_process_has_recorded_can_be_read(tmp_path, recording):
    code = f"""
import os
from pathlib import Path
from sharpdepth_ros.viewing.rerun_log import RerunLog
from sharpdepth_ros.viewing.rerun_run import run_of_rerun_file
log = RerunLog("killed")
log.save(Path({str(tmp_path / "killed.rrd")!r}))
for frame in run_of_rerun_file(Path({str(recording)!r})).frames:
    log.log(frame)
log.flush()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    run = run_of_rerun_file(tmp_path / "killed.rrd")
    assert len(list(run.frames)) == 2
    assert run.notes == ["its recording was broken off"]


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def test_the_viewer_is_served_to_browsers(frame):
    page, data = free_ports(2)
    log = RerunLog("served")
    address = log.serve(web_port=page, data_port=data)
    log.log(frame)
    assert address == f"http://localhost:{page}/?url=rerun%2Bhttp://localhost:{data}/proxy"
    with urllib.request.urlopen(address) as answer:
        assert b"re_viewer" in answer.read()
    with socket.create_connection(("127.0.0.1", data)):
        pass
    log.close()


def test_the_server_ends_in_order_with_an_interrupt(recording):
    page, data = free_ports(2)
    ports = ["--port", str(page), "--data-port", str(data)]
    command = [sys.executable, "-m", "sharpdepth_ros.cli", "view", str(recording), "--serve"]
    process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        assert f"open http://localhost:{page}/" in lines[0]
        assert "2 frames served at" in lines[1]
        assert "Ctrl-C" in lines[2]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("0.0.0.0", 0)) as taken:
        page, data = taken.getsockname()[1], free_ports(1)[0]
        with pytest.raises(ValueError, match=rf"cannot serve on ports {page} and {data}"):
            RerunLog("served").serve(web_port=page, data_port=data)


def test_without_a_screen_nothing_is_opened_and_the_other_ways_are_named(
    recording, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["view", str(recording)]) == 2
    assert "no screen" in (said := capsys.readouterr().err)
    assert "--serve" in said


def test_files_that_are_not_ours_are_refused(tmp_path):
    (tmp_path / "text.rrd").write_text("no recording")
    with pytest.raises(ValueError, match="cannot be read as a Rerun recording"):
        run_of_rerun_file(tmp_path / "text.rrd")
    import rerun

    other = rerun.RecordingStream("other")
    other.save(tmp_path / "other.rrd")
    other.log("something", rerun.Scalars(1.0))
    other.disconnect()
    with pytest.raises(ValueError, match="has no entity /camera/depth"):
        run_of_rerun_file(tmp_path / "other.rrd")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        run_of_rerun_file(tmp_path / "nowhere.rrd")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--save", "a.rrd"], "give either INPUT or --live"),
        (["photo.png", "--live"], "give either INPUT or --live"),
        (["nowhere", "--save", "a.rrd"], "nowhere does not exist"),
        (["empty", "--save", "a.rrd"], "empty holds no image"),
        (["photo.png", "run.rrd"], "run.rrd is a recording: give it alone"),
        (["run.rrd", "--save", "a.rrd", "--point-stride", "0"], "point stride is 0"),
        (["run.rrd", "--save", "a.rrd", "--serve"], "give either --save or --serve"),
        (["run.rrd", "--save", "a.rrd", "--limit", "0"], "--limit is 0"),
    ],
)
def test_wrong_usage_ends_with_status_2_and_one_line(
    recording, frame, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(recording.parent)
    os.mkdir("empty")
    cv2.imwrite("photo.png", frame.rgb)
    assert main(["view", *arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]


def test_without_rerun_the_extra_is_named(recording, monkeypatch, capsys):
    for name in [n for n in sys.modules if n.startswith("sharpdepth_ros.viewing.rerun")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert main(["view", str(recording), "--save", "a.rrd"]) == 2
    assert "pip install 'sharpdepth_ros[view]'" in capsys.readouterr().err
    assert main(["report", str(recording), "--output", "a.html"]) == 2
    assert "pip install 'sharpdepth_ros[view]'" in capsys.readouterr().err
