# SPDX-License-Identifier: Apache-2.0
"""Cameras as people write them down: read, scaled, rectified, or refused with a sentence."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from sharpdepth_ros.cli import main
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.io.intrinsics_files import read_intrinsics
from sharpdepth_ros.recordings.images import Once, read_picture

FAST = ["--device", "cpu", "--processing-resolution", "64", "--mode", "metric"]
W, H = 320, 240
K = [260.0, 0.0, 160.0, 0.0, 262.0, 120.0, 0.0, 0.0, 1.0]
D = [-0.34, 0.12, 0.001, 0.0, 0.0]

OST = """image_width: 1280
image_height: 960
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [1040.0, 0.0, 640.0, 0.0, 1048.0, 480.0, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.34, 0.12, 0.001, 0.0, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
projection_matrix:
  rows: 3
  cols: 4
  data: [880.0, 0.0, 640.0, 0.0, 0.0, 884.0, 480.0, 0.0, 0.0, 0.0, 1.0, 0.0]
"""

ECHO = """header:
  stamp:
    sec: 12
    nanosec: 5
  frame_id: camera
height: 240
width: 320
distortion_model: plumb_bob
d:
- -0.34
- 0.12
- 0.001
- 0.0
- 0.0
k: [260.0, 0.0, 160.0, 0.0, 262.0, 120.0, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
binning_x: 0
binning_y: 0
roi:
  x_offset: 0
  y_offset: 0
  height: 0
  width: 0
  do_rectify: false
---
header:
  frame_id: camera
---
"""

KALIBR = """cam0:
  camera_model: pinhole
  distortion_coeffs: [-0.34, 0.12, 0.001, 0.0]
  distortion_model: radtan
  intrinsics: [260.0, 262.0, 160.0, 120.0]
  resolution: [320, 240]
  rostopic: /cam0/image_raw
"""


def file_storage(suffix):
    def write(path):
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
        storage.write("image_width", W)
        storage.write("image_height", H)
        storage.write("camera_matrix", np.reshape(K, (3, 3)))
        storage.write("distortion_coefficients", np.array(D)[:, None])
        storage.release()

    return f"opencv{suffix}", write


def text(name, content):
    return name, lambda path: path.write_text(content)


WITH_LENS = [
    file_storage(".yaml"),
    file_storage(".yml"),
    file_storage(".xml"),
    file_storage(".json"),
    text("echo.yaml", ECHO),
    text("echo.txt", ECHO),
    text("kalibr.yaml", KALIBR),
    text(
        "flat.json",
        json.dumps(
            {"fl_x": 260, "fl_y": 262, "cx": 160, "cy": 120, "w": W, "h": H}
            | {"k1": -0.34, "k2": 0.12, "p1": 0.001}
        ),
    ),
]


@pytest.mark.parametrize(("name", "write"), WITH_LENS, ids=[name for name, _ in WITH_LENS])
def test_a_camera_with_a_lens_is_read_from_many_kinds_of_file(tmp_path, name, write):
    write(tmp_path / name)
    calibration = read_intrinsics(str(tmp_path / name)).calibration(W, H)
    assert calibration.raw == CameraModel(W, H, 260.0, 262.0, 160.0, 120.0)
    assert calibration.lens.model == "plumb_bob"
    assert calibration.lens.coefficients[:4] == (-0.34, 0.12, 0.001, 0.0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("flat.json", '{"fx": 260, "fy": 262, "cx": 160, "cy": 120, "width": 320, "height": 240}'),
        ("flat.yaml", "fx: 260\nfy: 262\ncx: 160\ncy: 120\n"),
        ("numbers.txt", "# fx fy cx cy\n260, 262, 160, 120\n"),
        ("matrix.cfg", "260 0 160\n0 262 120\n0 0 1\n"),
    ],
)
def test_a_camera_without_lens_leaves_pictures_as_they_are(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    camera = read_intrinsics(str(tmp_path / name))
    assert camera.remarks(W, H) == []
    rgb = np.zeros((H, W, 3), np.uint8)
    assert camera.rectify(rgb).rgb is rgb
    assert camera.calibration(W, H).raw.cy == 120


def test_intrinsics_of_another_size_of_the_same_shape_are_scaled(tmp_path):
    (tmp_path / "ost.yaml").write_text(OST)
    camera = read_intrinsics(str(tmp_path / "ost.yaml"))
    calibration = camera.calibration(W, H)
    # The middle of the image stays there: pixel centres are whole numbers.
    assert calibration.raw == CameraModel(W, H, 260.0, 262.0, 159.625, 119.625)
    assert calibration.rectified == CameraModel(W, H, 220.0, 221.0, 159.625, 119.625)
    assert "those of 1280x960 images, and scaled to 320x240" in camera.remarks(W, H)[0]


@pytest.mark.parametrize("size", [(320, 200), (240, 320), (1280, 720)])
def test_intrinsics_of_another_shape_are_refused_with_both_sizes(tmp_path, size):
    (tmp_path / "ost.yaml").write_text(OST)
    with pytest.raises(ValueError, match=rf"those of 1280x960 images, .* is {size[0]}x{size[1]}"):
        read_intrinsics(str(tmp_path / "ost.yaml")).calibration(*size)


def test_normalised_intrinsics_are_scaled_and_said():
    camera = read_intrinsics("0.8,1.1,0.5,0.5")
    assert camera.calibration(W, H).raw == CameraModel(W, H, 256.0, 264.0, 159.5, 119.5)
    assert "in widths and heights, and scaled to 320x240" in camera.remarks(W, H)[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", "camera_matrix: [1, 2\nb: {", r"a\.yaml .* cannot be read as YAML \("),
        ("a.json", "{", r"a\.json .* cannot be read as JSON"),
        ("a.xml", "<opencv_storage>", r"a\.xml .* cannot be read as XML"),
        ("a.json", '{"focal": 500}', r"holds no intrinsics: it has focal; give fx"),
        ("a.json", '{"intrinsics": null}', "its camera matrix is empty"),
        ("a.json", '{"K": "none"}', "the camera matrix is 'none', not numbers"),
        ("a.json", '{"K": [1, 2, 3]}', "hold 3 numbers"),
        ("a.txt", "", "holds no intrinsics: it has no names"),
        ("a.txt", "500 0 0 0 500 0 320 240 1", r"have \[320.0, 240.0, 1.0\] in the last row"),
        ("a.yaml", f"k: {K}\nwidth: -5\nheight: 4", "width is -5.0, not a number of pixels"),
        ("a.yaml", f"k: {K}\nr: [1, 2]", "rectification matrix has 2 numbers, not 9"),
    ],
)
def test_files_that_hold_no_camera_get_a_sentence(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_intrinsics(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_lens_that_no_model_has_is_named_with_its_file(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f"k: {K}\nd: [0.1, 0.2]\ndistortion_model: plumb_bob\n")
    with pytest.raises(ValueError, match=r"intrinsics .*a\.yaml: plumb_bob takes 4 or 5"):
        read_intrinsics(str(path)).calibration(W, H)


def photo(path, orientation=None):
    pixels = np.random.default_rng(1).integers(0, 256, (H, W, 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(cv2.blur(pixels, (9, 9))).save(path, quality=98, exif=exif.tobytes())
    return path


def test_the_depth_of_a_picture_is_that_of_the_rectified_one(tmp_path, capsys):
    photo(tmp_path / "a.jpg"), photo(tmp_path / "b.jpg")
    (tmp_path / "ost.yaml").write_text(OST.replace("880.0", "640.0").replace("884.0", "640.0"))
    out = tmp_path / "out"
    arguments = [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg"), "--output", str(out)]
    camera = ["--intrinsics", str(tmp_path / "ost.yaml")]
    assert main(["image", *arguments, *camera, "--formats", "npy,png,ply,metric", *FAST]) == 0
    said = capsys.readouterr().err
    assert said.count("scaled to 320x240") == said.count("are rectified with them") == 1
    size, raw = (W, H), np.reshape([260.0, 0, 159.625, 0, 262.0, 119.625, 0, 0, 1], (3, 3))
    rectified = np.array([[160.0, 0, 159.625], [0, 160.0, 119.625], [0, 0, 1]])
    columns, rows = cv2.initUndistortRectifyMap(raw, np.array(D), None, rectified, size, 5)
    unseen = (columns < -0.1) | (rows < -0.1) | (columns > W - 0.9) | (rows > H - 0.9)
    assert unseen.mean() > 0.05
    depth = np.load(out / "a_depth.npy")
    assert np.isnan(depth[unseen]).all()
    assert np.isfinite(depth).mean() > 0.5
    assert np.isnan(np.load(out / "a_metric.npy")[unseen]).all()
    assert not cv2.imread(str(out / "a_depth.png"), cv2.IMREAD_UNCHANGED)[unseen].any()
    told = json.loads((out / "a_depth.json").read_text())
    assert told["intrinsics"][0][0] == 160.0
    assert told["picture"] == "rectified"


def test_a_picture_of_another_shape_is_left_out_and_the_others_are_done(tmp_path, capsys):
    photo(tmp_path / "a.jpg")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((200, 320, 3), np.uint8))
    (tmp_path / "ost.yaml").write_text(OST)
    arguments = [str(tmp_path / name) for name in ("a.jpg", "b.png")]
    options = ["--output", str(tmp_path / "out"), "--intrinsics", str(tmp_path / "ost.yaml")]
    assert main(["image", *arguments, *options, "--formats", "npy", *FAST]) == 1
    said = capsys.readouterr()
    assert "b.png was left out: intrinsics" in said.err
    assert "those of 1280x960 images, and this picture is 320x200" in said.err
    assert "1 of 2 images written" in said.out


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_picture_with_a_camera_keeps_the_sensors_rows_and_columns(tmp_path, orientation):
    sensor = read_picture(photo(tmp_path / "a.jpg"), None, print).rgb
    turned, told = photo(tmp_path / "turned.jpg", orientation), []
    with_camera = read_picture(turned, read_intrinsics("260,262,160,120"), Once(told.append))
    np.testing.assert_array_equal(with_camera.rgb, sensor)
    assert with_camera.form == "sensor"
    assert "EXIF orientation of pictures is ignored" in told[0]
    alone = read_picture(turned, None, Once(told.append))
    np.testing.assert_array_equal(alone.rgb, np.rot90(sensor, {3: 2, 6: 3}[orientation]))
    assert alone.form == "upright"
    assert "turned upright" in told[1]
