# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth turntable`: animations and stills of clouds, and bad input."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from PIL import Image

from sharpdepth_ros.cli import main
from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.io.depth_files import read_rgb, write_ply
from sharpdepth_ros.viewing.turntable import GAP, View, beside, labelled, turn


@pytest.fixture
def clouds(frame, tmp_path):
    """Two files: the metric model's cloud and the sharp one."""
    paths = []
    for name, depth in (("metric", frame.metric_depth), ("sharp", frame.depth)):
        paths.append(str(tmp_path / f"{name}.ply"))
        write_ply(paths[-1], unproject(depth, frame.camera), frame.rgb)
    return paths


def test_both_clouds_are_seen_from_the_same_place(frame):
    cloud = frame.cloud()
    for picture in turn({"": cloud, " ": cloud}, View(80, 60), 3):
        assert picture.shape == (60, 160 + GAP, 3)
    left, right = picture[:, :80], picture[:, -80:]
    np.testing.assert_array_equal(left[20:], right[20:])  # above, the labels differ


def test_depth_colours_are_those_of_one_range(frame):
    """The wall has the same colour on both sides, though the metric cloud spans other depths."""
    view = View(80, 60, colours="depth")
    deeper = {"metric": frame.metric_cloud(), "sharp": frame.cloud()}
    picture = next(turn(deeper, view, 1))
    np.testing.assert_allclose(picture[45, 10], picture[45, 80 + GAP + 10], atol=3)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_has_its_frames_and_repeats(clouds, tmp_path, capsys, suffix):
    path = tmp_path / f"out/turn{suffix}"
    arguments = ["--size", "64x48", "--frames", "5", "--fps", "10"]
    assert main(["turntable", *clouds, "--output", str(path), *arguments]) == 0
    assert "metric, sharp: written to" in capsys.readouterr().out
    with Image.open(path) as image:
        assert (image.n_frames, image.info["loop"]) == (5, 0)
        assert image.size == (128 + GAP, 48)
        pictures = []
        for i in range(5):
            image.seek(i)
            image.load()
            assert image.info["duration"] == 100
            pictures.append(np.asarray(image.convert("RGB")).astype(int))
    assert all(np.abs(a - b).max() > 50 for a, b in pairwise(pictures))


def test_a_video_has_its_frames(clouds, tmp_path):
    path = tmp_path / "turn.mp4"
    assert main(["turntable", clouds[1], "--output", str(path), "--size", "64x48",
                 "--frames", "4"]) == 0  # fmt: skip
    video = cv2.VideoCapture(str(path))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 4
    assert video.read()[1].shape == (48, 64, 3)


def test_a_png_has_three_views_of_each_cloud(clouds, tmp_path):
    path = tmp_path / "views.png"
    assert main(["turntable", *clouds, "--output", str(path), "--size", "64x48"]) == 0
    assert read_rgb(path).shape == (2 * 48 + GAP, 3 * 64 + 2 * GAP, 3)


def test_an_image_goes_through_the_pipeline_with_the_metric_model_beside(frame, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "photo.png"), frame.rgb)
    arguments = ["--size", "64x48", "--device", "cpu", "--processing-resolution", "64"]
    out = tmp_path / "photo.png.png"
    assert main(["turntable", str(tmp_path / "photo.png"), "--output", str(out), *arguments]) == 0
    assert "metric alone, SharpDepth: written" in capsys.readouterr().out
    assert read_rgb(out).shape[0] == 2 * 48 + GAP


def test_labels_are_drawn_and_pictures_joined():
    grey = np.full((60, 80, 3), 128, np.uint8)
    assert (labelled(grey, "metric alone") != grey).any()
    np.testing.assert_array_equal(labelled(grey, ""), grey)
    assert beside([grey, grey, grey], axis=0).shape == (180 + 2 * GAP, 80, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.ply", "--output", "a.gif"], "nowhere.ply does not exist"),
        (["metric.ply", "--output", "a.bmp"], "give .gif, .webp, .mp4 or .png"),
        (["metric.ply", "--output", "a.gif", "--size", "big"], "--size 'big' is not WIDTHxHEIGHT"),
        (["metric.ply", "--output", "a.gif", "--size", "8x8"], "8x8 pixels is too small"),
        (["metric.ply", "--output", "a.gif", "--frames", "0"], "frames is 0"),
        (["metric.ply", "--output", "a.gif", "--far", "0.5"], "no point is nearer than 0.5 m"),
        (["metric.ply", "--output", "a.gif", "--labels", "a,b"], "2 labels for 1 clouds"),
        (["metric.ply", "--output", "a.gif", "--fps", "0"], "fps is 0"),
        (["metric.ply", "--output", "a.gif", "--yaw", "200"], "yaw 200"),
        (["nan.ply", "--output", "a.gif"], "none of its 3072 is finite"),
        (["empty", "--output", "a.gif"], "empty holds no image"),
    ],
)
def test_bad_input_ends_with_status_2_and_one_line(
    clouds, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    header = (tmp_path / "metric.ply").read_bytes().split(b"end_header\n")[0] + b"end_header\n"
    vertex = np.full(3, np.nan, "<f4").tobytes() + bytes(3)
    (tmp_path / "nan.ply").write_bytes(header + vertex * 3072)
    assert main(["turntable", *arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
    assert not (tmp_path / "a.gif").exists()
