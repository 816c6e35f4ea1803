# SPDX-License-Identifier: Apache-2.0
"""The camera without hardware works while somebody subscribes, from its first picture on."""

import json
import time
from itertools import islice

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from sharpdepth_ros.demo.camera import folder_frames, synthetic_frames
from sharpdepth_ros.io.depth_files import write_rgb
from sharpdepth_ros.messages.camera_info import calibration_from_info, raw_camera_info

SIZE, SEED, RATE = (64, 48), 4, 20.0


@pytest.mark.parametrize(("topic", "kind"), [("image", Image), ("camera_info", CameraInfo)])
def test_its_video_begins_with_the_first_subscriber(topic, kind, start_process, peer):
    values = {"width": SIZE[0], "height": SIZE[1], "seed": SEED, "rate": RATE}
    parameters = [a for name, value in values.items() for a in ("-p", f"{name}:={value}")]
    start_process("-m", "sharpdepth_ros.demo.camera", "--ros-args", *parameters)
    peer.wait_until(lambda: peer.node.count_publishers(topic) > 0)
    time.sleep(10 / RATE)  # it would be ten pictures further
    peer.listen(topic, kind, reliable=False).wait_for_count(1)
    images = peer.listen("image", Image, reliable=False).wait_for_count(3)
    wanted = [rgb for rgb, _, _ in islice(synthetic_frames(*SIZE, SEED, RATE, "room"), 20)]
    seen = [np.frombuffer(m.data, np.uint8).reshape(m.height, m.width, 3) for m in images[:3]]
    first = next(i for i, rgb in enumerate(wanted) if np.array_equal(rgb, seen[0]))
    # Where camera_info is the first topic, some pictures pass before image is subscribed to.
    assert first < (5 if topic == "image" else 10)
    for rgb, expected in zip(seen, wanted[first:], strict=False):
        np.testing.assert_array_equal(rgb, expected)


def test_a_broken_image_of_a_folder_is_left_out_and_named(tmp_path):
    told = []
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 broken")
    with pytest.raises(ValueError, match="holds no image that can be read"):
        folder_frames(tmp_path, "", told.append)
    rgb = np.full((6, 8, 3), 90, np.uint8)
    write_rgb(tmp_path / "b.png", rgb)
    told.clear()
    for shown, _, _ in islice(folder_frames(tmp_path, "", told.append), 3):
        np.testing.assert_array_equal(shown, rgb)
    assert len(told) == 1 and "a.jpg is left out" in told[0]


def test_the_images_of_a_folder_come_raw_with_the_lens_in_camera_info(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    camera = {"k": [1000, 0, 640, 0, 1000, 480, 0, 0, 1], "d": [-0.3, 0.1, 0.0, 0.0, 0.0]}
    camera |= {"width": 1280, "height": 960, "distortion_model": "plumb_bob"}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    told = []
    frames = folder_frames(tmp_path, str(tmp_path / "camera.json"), told.append)
    rgb, calibration, _ = next(frames)
    np.testing.assert_array_equal(rgb, pixels[..., ::-1])
    info = raw_camera_info(calibration, Header(frame_id="camera"), CameraInfo)
    assert (info.width, info.height, info.k[0], info.p[0]) == (64, 48, 50.0, 50.0)
    assert (info.distortion_model, *info.d) == ("plumb_bob", -0.3, 0.1, 0.0, 0.0, 0.0)
    again = calibration_from_info(info)
    assert (again.raw, again.rectified) == (calibration.raw, calibration.rectified)
    assert len(told) == 1 and "those of 1280x960 images, and scaled to 64x48" in told[0]


def test_a_subscriber_that_asks_for_reliable_messages_is_served(start_process, peer):
    start_process("-m", "sharpdepth_ros.demo.camera", "--ros-args", "-p", "rate:=20")
    peer.listen("camera_info", CameraInfo, reliable=True).wait_for_count(1)
    peer.listen("image", Image, reliable=True).wait_for_count(1)


def test_a_value_of_another_type_is_named(start_process, peer):
    camera = start_process("-m", "sharpdepth_ros.demo.camera", "--ros-args", "-p", "width:=wide")
    assert camera.process.wait(60) == 2
    assert camera.log == "sharpdepth_camera: width is of type integer, got 'wide'\n"
