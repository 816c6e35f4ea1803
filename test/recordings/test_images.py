# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth image`: what is written, where the camera comes from, and what bad input gets."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from plyfile import PlyData

from sharpdepth_ros.cli import main
from sharpdepth_ros.io.depth_files import read_depth, read_rgb
from sharpdepth_ros.io.intrinsics_files import read_intrinsics
from sharpdepth_ros.recordings.images import find_images, why_again, write_depth_files
from sharpdepth_ros.weights.locate import locate

from .conftest import Output

FAST = ["--device", "cpu", "--processing-resolution", "64"]


@pytest.fixture
def photo(tmp_path):
    """Writes an image of 48 rows and 64 columns where it is told to."""

    def write(name="photo.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(path), image)
        return path

    return write


def test_every_form_of_depth_is_written_and_they_agree(photo, tmp_path):
    out = tmp_path / "out"
    assert (
        main(["image", str(photo()), "--output", str(out), "--intrinsics", "50,52,32,24", *FAST])
        == 0
    )

    metres = np.load(out / "photo_depth.npy")
    assert metres.shape == (48, 64)
    assert metres.dtype == np.float32
    millimetres = cv2.imread(str(out / "photo_depth.png"), cv2.IMREAD_UNCHANGED)
    assert millimetres.dtype == np.uint16
    np.testing.assert_allclose(millimetres / 1000, np.clip(metres, 0, 65.535), atol=0.0006)
    preview = cv2.imread(str(out / "photo_preview.png"))
    assert preview.shape == (48, 128, 3)

    vertices = PlyData.read(out / "photo_cloud.ply")["vertex"]
    rows, columns = np.nonzero(metres > 0)
    z = metres[rows, columns]
    np.testing.assert_allclose(vertices["z"], z, rtol=1e-6)
    np.testing.assert_allclose(vertices["x"], (columns - 32) * z / 50, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(vertices["y"], (rows - 24) * z / 52, rtol=1e-4, atol=1e-5)
    blue, green, red = cv2.imread(str(photo()))[rows, columns].T
    np.testing.assert_array_equal(vertices["red"], red)
    np.testing.assert_array_equal(vertices["green"], green)
    np.testing.assert_array_equal(vertices["blue"], blue)

    summary = json.loads((out / "photo_depth.json").read_text())
    assert summary["intrinsics"] == [[50, 0, 32], [0, 52, 24], [0, 0, 1]]
    assert set(summary["milliseconds"]) >= {"metric", "sharpen"}


def test_what_the_pipeline_joined_is_written_if_asked(photo, tmp_path):
    arguments = ["image", str(photo()), "--output", str(tmp_path), "--formats"]
    assert main([*arguments, "npy,metric,discrepancy", *FAST]) == 0
    depth, metric, discrepancy = (
        np.load(tmp_path / f"photo_{name}.npy") for name in ("depth", "metric", "discrepancy")
    )
    assert depth.shape == metric.shape == discrepancy.shape == (48, 64)
    assert (metric > 0).all() and (metric != depth).any()
    assert discrepancy.min() >= 0 and 0 < discrepancy.max() <= 1


def test_without_intrinsics_the_metric_models_estimate_is_used(photo, tmp_path):
    out = tmp_path / "out"
    assert main(["image", str(photo()), "--output", str(out), "--mode", "metric", *FAST]) == 0
    camera = np.array(json.loads((out / "photo_depth.json").read_text())["intrinsics"])
    assert camera[0, 0] > 0
    assert camera[1, 1] > 0
    assert (out / "photo_cloud.ply").exists()


def test_an_unreadable_image_is_named_and_the_others_are_written(photo, tmp_path, capsys):
    photo("in/good.png")
    (tmp_path / "in/broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (tmp_path / "in/empty.png").touch()
    status = main(
        [
            "image",
            str(tmp_path / "in"),
            "--output",
            str(tmp_path / "out"),
            "--formats",
            "npy",
            *FAST,
        ]
    )
    said = capsys.readouterr()
    assert status == 1
    assert "broken.jpg is not an image that can be read" in said.err
    assert "empty.png is not an image that can be read (0 bytes)" in said.err
    assert "1 of 3 images written" in said.out
    assert (tmp_path / "out/good_depth.npy").exists()


def test_a_folder_keeps_its_structure_and_results_are_not_taken_for_images(photo, tmp_path):
    photo("in/a/frame.png"), photo("in/b/frame.JPG")
    output = tmp_path / "in/out"
    photo("in/out/a/frame_preview.png")
    jobs = find_images([tmp_path / "in"], output).jobs
    assert [job.target for job in jobs] == [output / "a/frame", output / "b/frame"]


def _sources(*inputs, output):
    return [job.source for job in find_images([*inputs], output).jobs]


def test_folders_and_images_behind_links_are_read_once_and_circles_end(photo, tmp_path):
    real = photo("real/deep/a.png")
    links = tmp_path / "links"
    links.mkdir()
    (links / "there").symlink_to(tmp_path / "real")
    (links / "again").symlink_to(real.parent)
    (real.parent / "circle").symlink_to(links)
    (links / "b.png").symlink_to(real)
    (links / "gone.png").symlink_to(tmp_path / "nowhere.png")
    out = tmp_path / "out"
    assert _sources(links, output=out) == [links / "again/a.png", links / "b.png"]
    assert _sources(links / "**/*.png", output=out) == [links / "again/a.png", links / "b.png"]
    # What is no link comes first.
    assert _sources(tmp_path / "real", output=out)[0] == real


def _write_results(given, output):
    """As `sharpdepth image` does, without a model."""
    jobs = find_images([given], output).jobs
    for job in jobs:
        rgb = read_rgb(job.source)
        result = Output(np.ones(rgb.shape[:2], np.float32), np.diag([50.0, 50, 1]))
        write_depth_files(job.target, rgb, result, ["png", "npy", "preview"])
    return [str(job.source) for job in jobs]


@pytest.mark.parametrize("output", [".", "photos", "photos/deep"])
def test_results_never_become_inputs_wherever_they_are_written(
    photo, tmp_path, monkeypatch, output
):
    photo("photos/a.png"), photo("photos/b/c.png")
    monkeypatch.chdir(tmp_path)
    written = []
    for given in ("photos", "photos", "photos/**/*.png"):
        assert _write_results(Path(given), Path(output)) == ["photos/a.png", "photos/b/c.png"]
        written.append({str(path) for path in tmp_path.rglob("*") if path.is_file()})
    assert written[0] == written[1] == written[2]
    assert len(written[0]) == 2 * (1 + 4)


def test_pictures_of_videos_and_snapshots_are_not_inputs_but_a_photo_of_that_name_is(
    photo, tmp_path
):
    summary = json.dumps({"intrinsics": None, "aligned": True, "milliseconds": {}})
    for name in ("image", "depth", "preview", "discrepancy"):
        photo(f"shot/{name}.png")
    (tmp_path / "shot/frame.json").write_text(summary)
    photo("video/000001_preview.png")
    (tmp_path / "video/000001_depth.json").write_text(summary)
    photo("own/depth.png"), photo("own/sea_depth.png")
    (tmp_path / "own/frame.json").write_text('{"exposure": 3}')
    (tmp_path / "own/sea_depth.json").write_text("[]")
    inputs = [tmp_path / "shot", tmp_path / "own"]
    expected = ["shot/image.png", "own/depth.png", "own/sea_depth.png"]
    assert _sources(*inputs, output=tmp_path / "out") == [tmp_path / name for name in expected]
    with pytest.raises(ValueError, match="holds no image"):
        find_images([tmp_path / "video"], tmp_path / "out")


def test_what_a_killed_run_left_beside_its_image_is_not_an_input(photo, tmp_path):
    source = photo("in/a.png")
    photo("in/a_preview.png")
    assert _sources(tmp_path / "in", output=tmp_path / "in") == [source]


def test_images_that_differ_in_their_suffix_alone_get_results_of_their_own(photo, tmp_path):
    photo("in/x.png"), photo("in/x.jpg"), photo("in/y.png")
    jobs = find_images([tmp_path / "in"], tmp_path / "out").jobs
    targets = {job.source.name: job.target.name for job in jobs}
    assert targets == {"x.png": "x.png", "x.jpg": "x.jpg", "y.png": "y"}
    # Their camera is still looked up by the name alone.
    assert [str(job.name) for job in jobs] == ["x", "x", "y"]


def test_picture_files_that_are_not_read_are_counted_and_named(photo, tmp_path):
    photo("in/good.png")
    for number in range(5):
        (tmp_path / f"in/{number}.HEIC").write_bytes(b"ftypheic")
    (tmp_path / "in/notes.txt").write_text("no picture")
    found = find_images([tmp_path / "in"], tmp_path / "out")
    assert [job.source.name for job in found.jobs] == ["good.png"]
    (remark,) = found.remarks()
    assert "not read: 5 (" in remark and "0.HEIC" in remark and "and 2 more" in remark


@pytest.fixture
def odd_files(tmp_path):
    """The same picture in every form that cameras and programs write."""
    y, x = np.mgrid[:48, :64]
    rgb = np.stack((2 * x + 40, 200 - 2 * y, 60 + x + y), axis=-1).astype(np.uint8)
    picture, folder = PillowImage.fromarray(rgb), tmp_path / "odd"
    folder.mkdir()
    grey = np.array(picture.convert("L"))
    for name in ("UPPER.JPG", "a.b.c.png", "tif.tif", "prog.webp", "ünï cödé 写真.bmp", "g.gif"):
        picture.save(folder / name, **({"quality": 95} if "JPG" in name else {}))
    picture.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    picture.convert("RGBA").save(folder / "alpha.png")
    turned, exif = picture.transpose(PillowImage.Transpose.ROTATE_90), PillowImage.Exif()
    exif[274] = 6
    turned.save(folder / "exif.jpg", exif=exif.tobytes(), quality=95)
    for name, scale in (("grey", 1), ("sixteen", 257), ("twelve", 16)):
        cv2.imwrite(
            str(folder / f"{name}.png"), grey.astype(np.uint16 if scale > 1 else "u1") * scale
        )
    cv2.imwrite(str(folder / "rgb12.png"), rgb[..., ::-1].astype(np.uint16) * 16)
    return folder, rgb, grey


def test_every_kind_of_picture_file_is_the_same_picture(odd_files):
    folder, rgb, grey = odd_files
    for file in folder.iterdir():
        is_grey = file.stem in ("grey", "sixteen", "twelve")
        expected = np.repeat(grey[..., None], 3, axis=-1) if is_grey else rgb
        found = read_rgb(file, upright=True)
        assert found.dtype == np.uint8 and found.shape == rgb.shape, file.name
        assert np.abs(found.astype(int) - expected).mean() < (9 if file.suffix == ".gif" else 4), (
            file.name
        )


def test_numbers_that_are_no_picture_are_named(tmp_path):
    cv2.imwrite(str(tmp_path / "float.tif"), np.ones((4, 5, 3), np.float32))
    with pytest.raises(ValueError, match=r"float.tif holds float32 numbers; a picture has 8 or 16"):
        read_rgb(tmp_path / "float.tif")


def test_two_images_that_would_write_the_same_files_are_refused(photo, tmp_path):
    with pytest.raises(ValueError, match=r"would both be written as .*out/frame_depth"):
        find_images([photo("a/frame.png"), photo("b/frame.png")], tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["image", "nowhere.png", "--output", "out"], "nowhere.png does not exist"),
        (["image", ".", "--output", "out"], "holds no image"),
        (
            ["image", "photo.png", "--output", "out", "--formats", "tiff"],
            "--formats tiff: known are",
        ),
        (
            ["image", "a.png", "--output", "b", "--mode", "metric", "--formats", "discrepancy"],
            "--mode metric runs one model",
        ),
        (["image", "photo.png", "--output", "out", "--intrinsics", "a,b"], "neither numbers nor"),
        (["image", "photo.png", "--output", "out", "--model", "nothing"], "nothing' is neither"),
        (["image", "photo.png", "--output", "out", "--model", "../other"], "is neither a folder"),
    ],
)
def test_wrong_usage_ends_with_status_2_and_one_line(
    photo, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    if arguments[1] == "photo.png":
        photo()
    assert main(arguments) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "demo models" not in line]
    assert len(said) == 1
    assert message in said[0]


MATRIX = [[500, 0, 320], [0, 505, 240], [0, 0, 1]]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("camera.npy", lambda path: np.save(path, MATRIX)),
        ("camera.txt", lambda path: np.savetxt(path, MATRIX)),
        ("camera.json", lambda path: path.write_text(json.dumps({"K": MATRIX}))),
        (
            "camera.yaml",
            lambda path: path.write_text(
                "camera_matrix:\n  rows: 3\n  cols: 3\n"
                "  data: [500, 0, 320, 0, 505, 240, 0, 0, 1]\n"
            ),
        ),
    ],
)
def test_intrinsics_are_read_from_files_as_people_write_them(tmp_path, name, write):
    write(tmp_path / name)
    camera = read_intrinsics(str(tmp_path / name)).calibration(640, 480)
    np.testing.assert_array_equal(camera.raw.matrix, MATRIX)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "hold 3 numbers"),
        ("0,500,320,240", "fx 0 and fy 500"),
        ("nan,500,320,240", "fx nan"),
        ("camera.json", "neither numbers nor a file"),
    ],
)
def test_intrinsics_that_are_none_say_what_to_give(text, message):
    with pytest.raises(ValueError, match=message):
        read_intrinsics(text)


def test_a_file_without_intrinsics_is_named(tmp_path):
    (tmp_path / "camera.json").write_text('{"focal": 500}')
    with pytest.raises(ValueError, match=r"camera\.json holds no intrinsics"):
        read_intrinsics(str(tmp_path / "camera.json"))


def test_a_pattern_stands_for_images_and_keeps_their_folders(photo, tmp_path):
    photo("runs/a/left/1.png"), photo("runs/b/left/1.png"), photo("runs/b/right/1.png")
    jobs = find_images([tmp_path / "runs/*/left/*.png"], tmp_path / "out").jobs
    assert [job.target for job in jobs] == [
        tmp_path / "out/a/left/1",
        tmp_path / "out/b/left/1",
    ]
    with pytest.raises(FileNotFoundError, match="matches nothing"):
        find_images([tmp_path / "runs/*/up/*.png"], tmp_path / "out")


def test_exr_holds_the_same_metres(photo, tmp_path):
    out = tmp_path / "out"
    arguments = ["image", str(photo()), "--output", str(out), "--formats", "npy,exr"]
    assert main([*arguments, "--mode", "metric", *FAST]) == 0
    np.testing.assert_array_equal(
        read_depth(out / "photo_depth.exr"), np.load(out / "photo_depth.npy")
    )


def test_what_is_done_is_not_done_again_unless_something_changed(photo, tmp_path, capsys):
    photo("in/a.png"), photo("in/b.png")
    out = tmp_path / "out"
    arguments = ["image", str(tmp_path / "in"), "--output", str(out), "--mode", "metric", *FAST]
    arguments += ["--formats", "npy"]
    assert main(arguments) == 0
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    (out / "b_depth.json").unlink()  # as if it had been killed here
    photo("in/c.png")
    capsys.readouterr()
    assert main(arguments) == 0
    assert "3 of 3 images written" in (said := capsys.readouterr().out)
    assert "1 of them by an earlier run" in said
    assert (out / "a_depth.npy").stat().st_mtime_ns == times["a_depth.npy"]
    assert (out / "b_depth.npy").stat().st_mtime_ns > times["b_depth.npy"]

    assert main([*arguments, "--intrinsics", "50,50,32,24"]) == 0
    assert "of them by" not in capsys.readouterr().out
    assert main([*arguments, "--intrinsics", "50,50,32,24", "--restart"]) == 0
    assert "of them by" not in capsys.readouterr().out
    assert not list(out.glob(".*"))


def test_another_preset_is_done_again_and_said_with_both_values(photo, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["image", str(photo()), "--output", str(out), "--formats"]
    assert main([*arguments, "npy,png", *FAST]) == 0
    accurate = np.load(out / "photo_depth.npy")
    capsys.readouterr()
    assert main([*arguments, "npy", *FAST, "--preset", "fastest"]) == 0
    said = capsys.readouterr()
    assert "1 of 1 images written" in said.out and "earlier run" not in said.out
    assert "preset changed: preset was 'accurate' and is 'fastest'" in said.err
    fastest = np.load(out / "photo_depth.npy")
    assert (fastest != accurate).any()

    # The .png is still the first run's: it is not taken for this one's.
    assert main([*arguments, "npy,png", *FAST, "--preset", "fastest"]) == 0
    millimetres = cv2.imread(str(out / "photo_depth.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(millimetres / 1000, np.clip(fastest, 0, 65.535), atol=0.0006)


def test_a_camera_or_a_model_that_was_edited_and_a_file_that_was_cut_are_done_again(
    photo, tmp_path, capsys
):
    out, camera = tmp_path / "out", tmp_path / "camera.txt"
    model = shutil.copytree(locate("demo", "metric"), tmp_path / "metric")
    arguments = ["image", str(photo()), "--output", str(out), "--formats", "npy", *FAST]
    arguments += ["--mode", "metric", "--metric-model", str(model), "--intrinsics", str(camera)]

    def again(reason):
        capsys.readouterr()
        assert main(arguments) == 0
        said = capsys.readouterr()
        assert ("earlier run" in said.out) == (reason is None)
        assert (reason or "") in said.err
        return np.load(out / "photo_depth.npy")

    camera.write_text("50 0 32\n0 50 24\n0 0 1\n")
    first = again("")
    again(None)
    camera.write_text("90 0 32\n0 90 24\n0 0 1\n")
    edited = again(" camera_given changed: camera_given was [")
    assert np.median(edited) > 1.2 * np.median(first)
    with (out / "photo_depth.npy").open("r+b") as file:
        file.truncate(200)
    np.testing.assert_array_equal(again("photo_depth.npy has 200 bytes"), edited)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config, indent=7))
    again("metric_model_weights changed: metric_model_weights was '")
    again(None)


def test_a_run_that_dies_between_its_files_leaves_none_to_be_taken_for_those_of_another(
    tmp_path, known_depth
):
    target, rgb = tmp_path / "photo", np.zeros((4, 6, 3), np.uint8)
    (out,) = known_depth([rgb], [None])
    write_depth_files(target, rgb, out, ["npy"], {"seed": 0})
    assert why_again(target, ["npy"], {"seed": 0}) == {}
    with pytest.raises(ValueError, match="no point cloud"):
        write_depth_files(target, rgb, out, ["npy", "ply"], {"seed": 1})
    assert why_again(target, ["npy"], {"seed": 0}) is None


def test_each_image_may_have_a_camera_of_its_own(photo, tmp_path, capsys):
    for name, focal in (("a", 40), ("sub/b", 60)):
        photo(f"in/{name}.png")
        camera = tmp_path / f"cameras/{name}.txt"
        camera.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(camera, [[focal, 0, 32], [0, focal, 24], [0, 0, 1]])
    photo("in/c.png")
    out = tmp_path / "out"
    arguments = ["--intrinsics", str(tmp_path / "cameras"), "--formats", "npy", "--batch", "2"]
    assert main(["image", str(tmp_path / "in"), "--output", str(out), *arguments, *FAST]) == 1
    assert "cameras/c has no file .txt" in capsys.readouterr().err
    for name, focal in (("a", 40), ("sub/b", 60)):
        summary = json.loads((out / f"{name}_depth.json").read_text())
        assert summary["intrinsics"][0][0] == focal


def test_several_processes_share_the_images(photo, tmp_path):
    for number in range(5):
        photo(f"in/{number}.png")
    out = tmp_path / "out"
    # What `accelerate launch` starts for several GPUs; on a CPU it would want MPI.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", "-m", "sharpdepth_ros.cli", "image"]
    command += [str(tmp_path / "in"), "--output", str(out), "--formats", "npy", "--mode", "metric"]
    done = subprocess.run(
        [*command, *FAST],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "3 of 3 images written" in done.stdout
    assert "2 of 2 images written" in done.stdout
    assert "(process 1 of 2)" in done.stdout
    assert len(list(out.glob("*_depth.npy"))) == 5
