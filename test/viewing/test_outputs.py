# SPDX-License-Identifier: Apache-2.0
"""Outputs of the viewing commands: checked before the work, bounded by what is shown, whole."""

import gc
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from sharpdepth_ros.cli import main
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.io.depth_files import write_ply
from sharpdepth_ros.pipeline.output import SharpDepthOutput
from sharpdepth_ros.pipeline.timing import StageTimer
from sharpdepth_ros.recordings.images import write_depth_files
from sharpdepth_ros.viewing import turntable
from sharpdepth_ros.viewing.clouds import read_cloud
from sharpdepth_ros.viewing.frames import MOST_PIXELS, Run, ViewFrame
from sharpdepth_ros.viewing.image_run import run_of_images
from sharpdepth_ros.viewing.report import write_report
from sharpdepth_ros.viewing.report_pictures import TALLEST, WIDEST, draw_frame


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("report photos --output folder.html", "folder.html is a folder"),
        ("report photos --output file/r.html", "file/r.html cannot be written: Not a directory"),
        ("report photos --output /proc/r.html", "/proc/r.html cannot be written"),
        ("report photos --output r.pdf", "r.pdf does not end in .html or .htm"),
        ("report photos --output device.html", "device.html is no regular file"),
        ("report photos --pictures 0", "0 pictures: give 1 or more"),
        ("turntable photos --output folder.gif", "folder.gif is a folder"),
        ("turntable photos --output file/t.png", "file/t.png cannot be written: Not a directory"),
        ("turntable photos --output /proc/t.mp4", "/proc/t.mp4 cannot be written"),
        ("turntable photos --output t.xyz", "give .gif, .webp, .mp4 or .png"),
        ("turntable photos --output t.webp --size 9000x200", "18004x200 pixels; .webp takes 16383"),
        ("turntable photos --output t.webp --size 20x17000", "give a smaller size, or .gif"),
        ("turntable photos --output t.gif --frames 0", "frames is 0"),
        ("turntable photos --output t.gif --fps 0", "fps is 0"),
        ("turntable photos --output t.gif --palette 1", "2 to 256 colours, got 1"),
        ("turntable photos --output t.gif --frame 99", "no frame 99: 2 images, 0 to 1"),
        ("turntable photos --output t.gif --frame -1", "--frame is -1"),
        ("turntable photos --output t.gif --frame 3 --limit 2", "--limit 2 leaves no frame 3"),
        ("view photos --save folder.rrd", "folder.rrd is a folder"),
        ("view photos --save file/v.rrd", "file/v.rrd cannot be written: Not a directory"),
        ("view photos --save /proc/v.rrd", "/proc/v.rrd cannot be written"),
        ("view photos --save v.txt", "v.txt does not end in .rrd"),
    ],
)
def test_an_output_that_cannot_be_is_said_before_any_model_is_loaded(
    arguments, message, frame, tmp_path, monkeypatch, capsys
):
    if arguments.startswith("view"):
        pytest.importorskip("rerun", reason="needs rerun-sdk (pip install .[view])")
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "folder.html", "folder.gif", "folder.rrd"):
        (tmp_path / name).mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(f"photos/{name}", frame.rgb)
    (tmp_path / "file").touch()
    (tmp_path / "device.html").symlink_to("/dev/null")
    # The model does not exist: who came to load it would say that instead.
    assert main([*arguments.split(), "--model", "nowhere"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
    there = {"photos", "folder.html", "folder.gif", "folder.rrd", "file", "device.html"}
    assert {path.name for path in tmp_path.iterdir()} == there


LIMITED = """
import resource, sys
from sharpdepth_ros.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".mp4", ".rrd", ".html"])
def test_a_file_that_cannot_be_written_to_its_end_is_said_and_not_left(suffix, frame, tmp_path):
    if suffix == ".rrd":
        pytest.importorskip("rerun", reason="needs rerun-sdk (pip install .[view])")
    _write_result(tmp_path / "results", frame)
    command = {".rrd": ["view", "results", "--save"], ".html": ["report", "results", "--output"]}
    arguments = command.get(suffix, ["turntable", "results", "--output"])
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments, f"out{suffix}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert f"sharpdepth: out{suffix}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "written" not in done.stdout
    if suffix != ".rrd":  # a recording that was broken off is readable so far
        assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


def _write_result(folder, frame):
    """What `sharpdepth image` writes of a frame."""
    folder.mkdir(exist_ok=True)
    maps = {"depth": frame.depth, "metric_depth": frame.metric_depth}
    answers = {name: values[None, None] for name, values in maps.items()}
    answers |= dict.fromkeys(("discrepancy", "affine_depth", "scale", "shift"))
    answers |= {"intrinsics": frame.camera.matrix[None], "sound": np.array([True])}
    out = SharpDepthOutput(answers, 0, StageTimer(torch.device("cpu")))
    write_depth_files(folder / "photo", frame.rgb, out, ("npy", "metric"), {"mode": "sharpdepth"})


def test_only_the_frame_that_is_asked_for_is_computed(frame, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), frame.rgb)
    asked = []

    def infer(rgb):
        asked.append(rgb)
        raise ValueError("enough")

    run = run_of_images([tmp_path], infer, {}, only=1)
    assert list(run.frames) == []
    assert len(asked) == 1
    assert run.problems == [f"{tmp_path / 'b.png'} was left out: enough"]


def test_a_report_keeps_the_pictures_of_frames_and_not_the_frames(make_frame, tmp_path):
    alive = []

    def frames():
        for number in range(20):
            yield make_frame(str(number), number)
            gc.collect()
            alive.append(sum(isinstance(thing, ViewFrame) for thing in gc.get_objects()))

    assert write_report(Run("run", frames()), tmp_path / "r.html", 4) == 20
    assert max(alive) <= 2  # the one that was given out, and perhaps the next


def _large_frame(width=8000, height=6000):
    """A frame of a large camera, with a row and a column of its own, that takes no memory."""

    def flat(value, *shape):
        return np.broadcast_to(np.asarray(value), shape)

    return ViewFrame(
        "large",
        flat(np.float32(2.0), height, width),
        rgb=flat(np.uint8(90), height, width, 3),
        camera=CameraModel(width, height, 0.9 * width, 0.9 * width, 0.5 * width, 0.4 * height),
        metric_depth=flat(np.float32(2.5), height, width),
        discrepancy=flat(np.float32(0.2), height, width),
    )


def test_a_large_frame_is_drawn_from_as_many_points_as_can_be_seen(monkeypatch):
    drawn = []
    draw = turntable.draw_cloud
    monkeypatch.setattr(
        turntable,
        "draw_cloud",
        lambda cloud, eye: drawn.append(len(cloud.points)) or draw(cloud, eye),
    )
    pictures = draw_frame(_large_frame())
    assert len(drawn) == 6
    assert max(drawn) < 4 * MOST_PIXELS
    assert pictures.facts.startswith("8000 x 6000 pixels, depth 2.00 m bright")
    assert all(p.width <= WIDEST and p.height <= TALLEST for p in pictures.maps)


def test_a_tall_picture_is_one_that_a_webp_can_be():
    for picture in draw_frame(replace(_large_frame(60, 40_000), camera=None)).maps:
        assert (picture.width, picture.height) == (2, TALLEST)


def test_a_thinned_frame_shows_the_same_places():
    frame = _large_frame(800, 600)
    whole, thin = frame.cloud(), frame.thinned(800 * 600 // 9).cloud()
    assert thin.points.shape == (200 * 267, 3)
    places = whole.points.reshape(600, 800, 3)[::3, ::3]
    np.testing.assert_allclose(thin.points, places.reshape(-1, 3), rtol=1e-5)
    assert thin.spacing == pytest.approx(3 * whole.spacing)
    assert frame.thinned(800 * 600) is frame


def test_of_a_large_cloud_as_many_points_are_read_as_can_be_seen(frame, tmp_path):
    path = tmp_path / "cloud.ply"
    write_ply(path, unproject(frame.depth, frame.camera), frame.rgb)
    whole, thin = read_cloud(path), read_cloud(path, 700)
    assert 700 <= len(thin.points) < 1400 < len(whole.points)
    assert thin.spacing == pytest.approx(whole.spacing * 2, rel=0.3)


def test_depth_without_a_valid_pixel_is_shown_as_such(frame, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    nothing = np.full_like(frame.depth, np.nan)
    _write_result(tmp_path / "results", replace(frame, depth=nothing))
    assert main(["report", "results", "--output", "r.html"]) == 0
    assert "no valid depth" in (tmp_path / "r.html").read_text()
    assert main(["turntable", "results", "--output", "t.gif"]) == 2
    assert "photo has no cloud" in capsys.readouterr().err
    assert not (tmp_path / "t.gif").exists()
