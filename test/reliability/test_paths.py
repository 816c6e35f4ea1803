# SPDX-License-Identifier: Apache-2.0
"""What is written stays in its folder, whatever names messages carry and whatever lies there."""

import json
import os

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install .[ros])")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.node.snapshot import write_snapshot
from sharpdepth_ros.processing.frame import Frame, FrameResult

NAMES = ["../../outside", "/etc/outside", "a/../../b", "x" * 5000, "", "\\..\\..", "~/x", "$HOME"]


def result(frame_id="camera", sec=5, nanosec=7):
    """A frame of 4 x 4 pixels."""
    header = Header(frame_id=frame_id, stamp=Time(sec=sec, nanosec=nanosec))
    depth = np.ones((4, 4), np.float32)
    matrix = np.array([[4.0, 0, 2], [0, 4, 2], [0, 0, 1]])
    return FrameResult(
        frame=Frame(Image(header=header), CameraInfo(header=header), 0.0),
        rgb=np.zeros((4, 4, 3), np.uint8),
        camera=CameraModel.from_matrix(matrix, 4, 4),
        depth=depth,
        discrepancy=depth,
        metric_depth=depth,
        aligned=True,
    )


def below(folder):
    return {path for path in folder.rglob("*")}


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_snapshot_is_named_by_its_stamp_whatever_its_frame_is_called(name, tmp_path):
    home = tmp_path / "home" / "snapshots"
    folder = write_snapshot(result(frame_id=name), home)
    assert folder == home / "5.000000007"
    assert json.loads((folder / "frame.json").read_text())["frame_id"] == name
    others = below(tmp_path) - below(folder) - {folder, home, home.parent}
    assert others == set()


@pytest.mark.parametrize("sec", [-(2**31), -1, 0, 2**31 - 1])
def test_a_snapshots_name_is_one_folder_for_every_stamp(sec, tmp_path):
    folder = write_snapshot(result(sec=sec, nanosec=2**32 - 1), tmp_path)
    assert folder.parent == tmp_path and folder.is_dir()


def test_a_snapshot_does_not_follow_a_link_that_has_its_name(tmp_path):
    outside, home = tmp_path / "outside", tmp_path / "home"
    outside.mkdir()
    home.mkdir()
    (home / "5.000000007").symlink_to(outside)
    with pytest.raises(OSError, match=r"is a link to .*outside: remove it, or set snapshot_folder"):
        write_snapshot(result(), home)
    assert list(outside.iterdir()) == []


def test_a_snapshot_does_not_write_through_links_to_files(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    folder = tmp_path / "home" / "5.000000007"
    folder.mkdir(parents=True)
    names = ("image.png", "depth.png", "depth.npy", "preview.png", "cloud.ply", "frame.json")
    for name in names:
        (folder / name).symlink_to(precious)
    os.link(precious, tmp_path / "same")  # would change with it
    write_snapshot(result(), folder.parent)
    assert precious.read_text() == (tmp_path / "same").read_text() == "kept"
    assert not any((folder / name).is_symlink() for name in names)
