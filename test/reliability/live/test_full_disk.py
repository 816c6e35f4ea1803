# SPDX-License-Identifier: Apache-2.0
"""A disk that is full when a snapshot is to be written: a real one, small, for the node alone."""

import os
import subprocess
import sys

import pytest
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from ...node.conftest import STAND_IN, camera_info, image, picture

W, H = 160, 120
OWN_DISK = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
#: A disk of 128 KiB, on which a snapshot of this size does not fit, in sight of the node only.
MOUNT_AND_RUN = 'mount -t tmpfs -o size=128k none "$0" && exec "$@"'


def test_a_snapshot_that_does_not_fit_says_why_and_leaves_nothing(
    start_process, peer, tmp_path, record
):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        [*OWN_DISK, 'mount -t tmpfs none "$0"', disk], capture_output=True
    ).returncode:
        pytest.skip("this kernel lets a user mount no file system of its own")
    depths = peer.listen("depth/image_rect", Image)
    # Python first, because start_process starts Python: it becomes the shell of the namespace.
    shell = f"import os, sys; os.execvp('unshare', {[*OWN_DISK, MOUNT_AND_RUN]!r} + sys.argv[1:])"
    node = start_process(
        *("-c", shell, str(disk), sys.executable, str(STAND_IN), "--ros-args"),
        *("-p", f"snapshot_folder:={disk}"),
    )
    peer.become_camera()
    peer.send_until_seen(image(picture(W, H)), camera_info(W, H), depths)

    answer = peer.call(Trigger, "sharpdepth/save_snapshot", Trigger.Request())
    assert not answer.success
    assert answer.message.startswith("the snapshot cannot be written: [Errno 28] No space left")
    seen_by_node = f"/proc/{node.process.pid}/root{disk}"
    assert os.listdir(seen_by_node) == []

    peer.send(image(picture(16, 16), stamp=2), camera_info(16, 16, 2))
    depths.wait_for(lambda m: m[-1].width == 16)
    answer = peer.call(Trigger, "sharpdepth/save_snapshot", Trigger.Request())
    assert answer.success, answer.message
    assert os.listdir(seen_by_node) == ["0.000000002"]
    assert {"depth.npy", "cloud.ply", "frame.json"} <= set(
        os.listdir(f"{seen_by_node}/0.000000002")
    )
    assert "Traceback" not in node.log
    record(
        "Snapshot to a full disk (tmpfs)",
        "1",
        "the service says `No space left on device`; nothing half-written stays; a smaller one "
        "right after is whole",
    )
