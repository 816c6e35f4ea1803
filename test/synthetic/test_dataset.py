# SPDX-License-Identifier: Apache-2.0
"""The data set on disk: layout, round trip, resuming, refusals."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sharpdepth_ros.cli import main
from sharpdepth_ros.synthetic import SampleOptions, read_frame, render_sample, write_dataset

SMALL = SampleOptions(width=40, height=30, views_per_scene=2, kind="shapes")
OUTDOORS = SampleOptions(width=40, height=30, views_per_scene=2, kind="street")


def test_a_data_set_has_the_documented_layout(tmp_path):
    report = write_dataset(tmp_path / "set", 3, options=SMALL, depth_format="both")
    assert (report.written, report.skipped) == (3, 0)
    found = sorted(str(p.relative_to(tmp_path / "set")) for p in (tmp_path / "set").rglob("*.*"))
    expected = ["dataset.json"]
    for n in ("000000", "000001", "000002"):
        expected += [f"rgb/{n}.png", f"depth/{n}.png", f"depth/{n}.npy", f"valid/{n}.png"]
        expected.append(f"frames/{n}.json")
    assert found == sorted(expected)
    about = json.loads((tmp_path / "set/dataset.json").read_text())
    assert about["version"] == 1 and about["options"]["kind"] == "shapes"
    depth = Image.open(tmp_path / "set/depth/000000.png")
    assert depth.mode == "I;16" and depth.size == (40, 30)


@pytest.mark.parametrize(("depth_format", "error"), [("png", 0.00051), ("npy", 0.0)])
def test_frames_read_back_as_they_were_rendered(tmp_path, depth_format, error):
    write_dataset(tmp_path, 4, options=OUTDOORS, depth_format=depth_format)
    sky_seen = False
    for index in range(4):
        frame, read = render_sample(OUTDOORS, index).frame, read_frame(tmp_path, index)
        np.testing.assert_array_equal(read.rgb, frame.rgb)
        np.testing.assert_array_equal(read.intrinsics, frame.intrinsics)
        np.testing.assert_array_equal(read.pose, frame.pose)
        kept = frame.valid & (frame.depth < 65.5 if depth_format == "png" else True)
        np.testing.assert_allclose(read.depth[kept], frame.depth[kept], atol=error, rtol=0)
        assert np.isinf(read.depth[~frame.valid]).all()
        mask = np.asarray(Image.open(tmp_path / f"valid/{index:06d}.png"))
        np.testing.assert_array_equal(mask == 255, frame.valid)
        sky_seen |= not frame.valid.all()
    assert sky_seen  # else this test says nothing about sky


def test_an_interrupted_run_continues_where_it_stopped(tmp_path):
    write_dataset(tmp_path, 5, options=SMALL)
    before = (tmp_path / "rgb/000003.png").read_bytes()
    kept = (tmp_path / "rgb/000000.png").stat().st_mtime_ns
    (tmp_path / "frames/000003.json").unlink()  # as if stopped before frame 3 was complete
    (tmp_path / "rgb/000003.png").write_bytes(b"half a file")
    report = write_dataset(tmp_path, 6, options=SMALL)
    assert (report.written, report.skipped) == (2, 4)
    assert (tmp_path / "rgb/000003.png").read_bytes() == before
    assert (tmp_path / "rgb/000000.png").stat().st_mtime_ns == kept
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", ["rgb/000002.png", "depth/000002.png", "frames/000002.json"])
def test_a_frame_with_an_empty_file_is_rendered_again(name, tmp_path):
    write_dataset(tmp_path, 3, options=SMALL)
    before = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(b"")  # what a power cut leaves under a name
    report = write_dataset(tmp_path, 3, options=SMALL)
    assert (report.written, report.skipped) == (1, 2)
    assert (tmp_path / name).read_bytes() == before


def test_a_description_that_is_damaged_is_refused_by_name(tmp_path):
    write_dataset(tmp_path, 1, options=SMALL)
    (tmp_path / "frames/000000.json").write_text('{"intrinsics": [1, 2]}')
    with pytest.raises(ValueError, match=r"000000\.json does not describe a frame"):
        read_frame(tmp_path, 0)
    (tmp_path / "dataset.json").write_text("")
    with pytest.raises(ValueError, match=r"dataset\.json is damaged"):
        write_dataset(tmp_path, 1, options=SMALL)


def test_depth_of_another_size_than_its_image_is_refused(tmp_path):
    write_dataset(tmp_path, 1, options=SMALL, depth_format="npy")
    np.save(tmp_path / "depth/000000.npy", np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match=r"000000\.npy has the shape \(3, 4\)"):
        read_frame(tmp_path, 0)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "rgb").write_text("a file where a folder belongs")
    arguments = ["synth", str(tmp_path / "set"), "--frames", "1", "--width", "40", "--height", "30"]
    assert main(arguments) == 1
    assert "set cannot be written" in capsys.readouterr().err


def test_a_stop_in_the_middle_leaves_only_complete_frames(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, 6, options=SMALL, progress=stop)
    complete = sorted(int(p.stem) for p in (tmp_path / "frames").iterdir())
    assert complete == [0, 1]  # one scene
    assert read_frame(tmp_path, 1).depth.shape == (30, 40)
    with pytest.raises(ValueError, match="no complete frame 2"):
        read_frame(tmp_path, 2)


def test_several_workers_write_the_same_files_as_one(tmp_path):
    seen = []
    write_dataset(tmp_path / "one", 4, options=SMALL)
    write_dataset(
        tmp_path / "two", 4, options=SMALL, workers=2, progress=lambda *done: seen.append(done)
    )
    for path in sorted((tmp_path / "one").rglob("*.*")):
        assert (
            path.read_bytes()
            == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        )
    assert seen == [(2, 4), (4, 4)]


def test_any_frame_can_be_rendered_first():
    backwards = [render_sample(SMALL, index) for index in (5, 2, 0)]
    for index, sample in zip((5, 2, 0), backwards, strict=True):
        again = render_sample(SMALL, index)
        np.testing.assert_array_equal(sample.frame.rgb, again.frame.rgb)
        assert sample.scene_seed == again.scene_seed


def test_a_video_moves_smoothly_with_one_camera_per_scene():
    options = SampleOptions(width=40, height=30, views_per_scene=5, video=True, fps=10, kind="room")
    frames = [render_sample(options, index).frame for index in range(10)]
    for first in (0, 5):
        part = frames[first : first + 5]
        assert all((f.intrinsics == part[0].intrinsics).all() for f in part)
        places = np.array([f.pose[:3, 3] for f in part])
        assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() < 0.1
    assert (frames[0].intrinsics != frames[5].intrinsics).any()


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    write_dataset(tmp_path, 1, options=SMALL)
    with pytest.raises(ValueError, match="other settings"):
        write_dataset(tmp_path, 1, options=SampleOptions(seed=9, width=40, height=30))
    with pytest.raises(ValueError, match="other settings"):
        write_dataset(tmp_path, 1, options=SMALL, depth_format="npy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"frames": 2, "workers": 0}, "workers is 0"),
        ({"frames": 2, "depth_format": "exr"}, "'exr'"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "set", **arguments)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "attic"}, "'attic'"),
        ({"seed": -1}, "seed is -1"),
        ({"views_per_scene": 0}, "views_per_scene is 0"),
        ({"width": -5}, "-5x240"),
        ({"fov_range": (90, 50)}, r"\(90, 50\)"),
        ({"intrinsics": (1, 2)}, r"\(1, 2\)"),
        ({"intrinsics": (0.0, 100.0, 20.0, 15.0)}, r"fx 0\.0"),
        ({"fps": 0}, "fps is 0"),
    ],
)
def test_bad_options_are_refused_with_the_value(options, message):
    with pytest.raises(ValueError, match=message):
        SampleOptions(**options)


def test_a_log_gets_few_lines_of_progress(tmp_path):
    words = ["synth", str(tmp_path), "--frames", "40", "--kind", "shapes", "--seed", "1"]
    size = ["--width", "32", "--height", "24"]
    command = [sys.executable, "-m", "sharpdepth_ros.cli", *words, *size]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "40 frames written" in run.stdout
    assert 1 <= run.stderr.count("frame/s]") <= 3  # the first, the last, and a slow machine's
