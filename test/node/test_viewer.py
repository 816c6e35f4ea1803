# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth view --live`: a running node's frames, recorded as they were published."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install .[ros])")
pytest.importorskip("rerun", reason="needs rerun-sdk (pip install .[view])")

from sharpdepth_ros.viewing.rerun_run import run_of_rerun_file

from .conftest import TIMEOUT, camera_info, image, picture


@pytest.fixture
def start_view(domain, tmp_path):
    """Starts `sharpdepth view --live --save FILE` with more arguments; its process and FILE."""
    processes = []

    def start(*arguments):
        path = tmp_path / "live.rrd"
        command = [sys.executable, "-m", "sharpdepth_ros.cli", "view", "--live"]
        process = subprocess.Popen(
            [*command, "--save", str(path), *arguments],
            env=os.environ | {"ROS_DOMAIN_ID": str(domain), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process, path

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_live_run_is_recorded_as_it_was_published(start_node, start_view, peer):
    start_node(stand_in=True)
    peer.become_camera()
    process, path = start_view("--limit", "3")
    peer.wait_until(lambda: peer.node.count_subscribers("depth/discrepancy") > 0)
    rgb = picture(64, 48)
    stamps = []
    while process.poll() is None and len(stamps) < 500:
        stamps.append(peer.node.get_clock().now().nanoseconds)
        peer.send(image(rgb, stamp=stamps[-1]), camera_info(64, 48, stamps[-1]))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert f"3 frames written to {path}" in out
    run = run_of_rerun_file(path)
    assert run.settings["mode"] == "sharpdepth"
    assert run.settings["processing resolution"] == "-1"
    frames = list(run.frames)
    assert len(frames) == 3
    for frame in frames:
        assert frame.stamp in stamps
        assert frame.latency > 0
        np.testing.assert_allclose(frame.depth, np.linspace(1, 3, 64)[None].repeat(48, 0), 1e-6)
    whole = [f for f in frames if f.discrepancy is not None and f.points is not None]
    assert whole, "no frame had all that the node publishes"
    frame = whole[-1]
    np.testing.assert_allclose(frame.metric_depth, frame.depth + 1, rtol=1e-6)
    np.testing.assert_allclose(frame.discrepancy[:, 0], np.linspace(0, 1, 48), atol=1e-6)
    assert frame.camera.fx == pytest.approx(0.9 * 64)
    z, row, column = frame.depth[7, 9], 7, 9
    expected = ((column - frame.camera.cx) / frame.camera.fx * z, None, z)
    point = frame.points.points[row * 64 + column]
    assert point[0] == pytest.approx(expected[0], abs=1e-5)
    assert point[2] == pytest.approx(expected[2], abs=1e-5)
    np.testing.assert_array_equal(frame.points.colours[row * 64 + column], rgb[row, column])


def test_an_interrupt_ends_the_recording_in_order_and_says_what_lacked(start_view, peer):
    process, path = start_view("--namespace", "front", "--no-points")
    first = process.stderr.readline()
    assert "nobody publishes /front/depth/image_rect" in first
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1, err
    assert "0 frames" in out
    assert "Is the node running and active" in err
    assert path.exists()
