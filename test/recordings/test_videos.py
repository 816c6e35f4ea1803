# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth video`: frames and their times are kept, colours hold still, a killed run goes on."""

import json
import struct
import threading
from fractions import Fraction

import cv2
import numpy as np
import pytest

from sharpdepth_ros.cli import main
from sharpdepth_ros.io.colormap import colorize_depth
from sharpdepth_ros.io.intrinsics_files import GivenCamera, read_intrinsics
from sharpdepth_ros.pipeline.distributed import Processes
from sharpdepth_ros.recordings.run_problems import Problems
from sharpdepth_ros.recordings.videos.side_by_side import SideBySide

av = pytest.importorskip("av", reason="needs PyAV (.[recordings])")

from sharpdepth_ros.recordings.videos.depth import VideoRun, depth_of_video  # noqa: E402
from sharpdepth_ros.recordings.videos.reading import Video  # noqa: E402

W, H, FRAMES = 64, 48, 20


def _red(number):
    return 40 + 8 * number


@pytest.fixture
def video(tmp_path):
    """Twenty frames of one colour each, at times that are not evenly spread."""
    return _write(tmp_path / "drive.mp4", [_time(number) for number in range(FRAMES)])


def _write(path, times, *, width=W, height=H, rate=10, codec="libx264"):
    """A video with frames at these milliseconds, each redder than the one before."""
    with av.open(str(path), "w") as container:
        options = {"crf": "5"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            rgb = np.full((height, width, 3), 60, np.uint8)
            rgb[..., 0] = _red(number) % 256
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _time(number):
    return number * 100 + (30 if number % 3 == 1 else 0)  # milliseconds


def _frames(path):
    with av.open(str(path)) as container:
        return [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def _run(video, tmp_path, infer, processes=None, restart=False, **options):
    run = VideoRun(video, tmp_path / "out", **({"piece": 6} | options))
    return depth_of_video(run, infer, processes or Processes(), restart)


def test_each_frame_is_beside_its_depth_at_its_time(video, tmp_path, known_depth):
    count, problems = _run(video, tmp_path, known_depth)
    assert (count, bool(problems)) == (FRAMES, False)
    frames = _frames(tmp_path / "out/drive_depth.mp4")
    np.testing.assert_allclose([t for t, _ in frames], [_time(n) / 1e3 for n in range(FRAMES)])
    near, far = (
        json.loads((tmp_path / "out/drive_depth.json").read_text())[k] for k in ("near", "far")
    )
    for number, (_, image) in enumerate(frames):
        assert abs(image[8:-8, 8 : W - 8, 0].mean() - _red(number)) < 5
        depth = np.full((1, 1), 1 + _red(number) / 100)
        expected = colorize_depth(depth, near, far)[0, 0].astype(int)
        found = image[H // 2, W + W // 2].astype(int)
        assert np.abs(found - expected).max() < 30
    assert not (tmp_path / "out/drive_depth.part").exists()


def test_one_depth_has_one_colour_in_every_frame(tmp_path):
    compose = SideBySide(W, H, 1.0, 5.0)
    wall = np.full((H, W), 2.0)
    beside_near, beside_far = wall.copy(), wall.copy()
    beside_near[:, :10], beside_far[:, :10] = 1.1, 4.9
    colours = [compose(np.zeros((H, W, 3), np.uint8), d)[20, W + 40].copy()
               for d in (beside_near, beside_far)]  # fmt: skip
    np.testing.assert_array_equal(*colours)


def test_depth_of_each_frame_as_files(video, tmp_path, known_depth):
    camera = read_intrinsics("50,50,32,24")
    _run(video, tmp_path, known_depth, formats=("npy", "exr", "png", "ply"), intrinsics=camera)
    folder = tmp_path / "out/drive"
    assert len(list(folder.glob("*_depth.npy"))) == len(list(folder.glob("*_cloud.ply"))) == FRAMES
    metres = np.load(folder / "000019_depth.npy")
    assert abs(metres.mean() - (1 + _red(19) / 100)) < 0.04
    millimetres = cv2.imread(str(folder / "000019_depth.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(millimetres, metres * 1000, atol=0.51)
    assert not (tmp_path / "out/drive_depth.mp4").exists()


def test_part_of_a_video_and_every_nth_frame(video, tmp_path, known_depth):
    count, _ = _run(video, tmp_path, known_depth, start=0.45, end=1.35, every=3)
    assert count == 3
    times = [t for t, _ in _frames(tmp_path / "out/drive_depth.mp4")]
    np.testing.assert_allclose(times, [_time(n) / 1e3 for n in (5, 8, 11)])


def test_a_run_that_died_goes_on_and_gives_the_same_video(video, tmp_path, known_depth):
    _run(video, tmp_path / "whole", known_depth)

    class Dies(Exception):
        pass

    calls = 0

    def dies_at_15(images, cameras):
        nonlocal calls
        calls += 1
        if calls == 16 + 15:  # up to sixteen looks decide the colours
            raise Dies
        return known_depth(images, cameras)

    with pytest.raises(Dies):
        _run(video, tmp_path, dies_at_15)
    assert not (tmp_path / "out/drive_depth.mp4").exists()
    known_depth.batches.clear()
    count, _ = _run(video, tmp_path, known_depth)
    assert count == FRAMES
    assert len(known_depth.batches) in (FRAMES - 12, FRAMES - 6)  # one or two pieces were done
    for (_, one), (_, other) in zip(
        _frames(tmp_path / "out/drive_depth.mp4"),
        _frames(tmp_path / "whole/out/drive_depth.mp4"),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    known_depth.batches.clear()
    assert _run(video, tmp_path, known_depth)[0] == FRAMES
    assert not known_depth.batches  # all is there
    _run(video, tmp_path, known_depth, restart=True)
    assert known_depth.batches


def test_several_processes_share_the_pieces_of_one_video(video, tmp_path, known_depth):
    _run(video, tmp_path / "alone", known_depth)
    barrier, counts = threading.Barrier(2, timeout=60), {}

    def work(index):
        processes = Processes(index, 2, wait=barrier.wait)
        counts[index], _ = _run(video, tmp_path, known_depth, processes)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counts == {0: FRAMES, 1: 8}  # the main one counts those in the file
    one, other = (_frames(tmp_path / f / "drive_depth.mp4") for f in ("out", "alone/out"))
    assert len(one) == len(other) == FRAMES
    for (time, image), (same_time, same) in zip(one, other, strict=True):
        assert time == same_time
        np.testing.assert_array_equal(image, same)


def test_frames_that_fail_are_left_out_and_told_again_the_next_time(video, tmp_path, known_depth):
    def fails_once(images, cameras):
        if abs(images[0][..., 0].mean() - _red(4)) < 4:
            raise RuntimeError("no more memory")
        return known_depth(images, cameras)

    for _ in range(2):
        count, problems = _run(video, tmp_path, fails_once)
        assert count == FRAMES - 1
        assert problems.lines() == ["frames without depth: frame 4: no more memory"]
    assert len(_frames(tmp_path / "out/drive_depth.mp4")) == FRAMES - 1


def test_a_truncated_video_is_used_up_to_where_it_ends(tmp_path, known_depth):
    # Transport streams have no index, as recorders write them that may be switched off.
    whole = tmp_path / "cut.ts"
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "5", "crf": "5"})
        stream.width, stream.height, stream.pix_fmt = W, H, "yuv420p"
        rng = np.random.default_rng(0)
        for _ in range(FRAMES):
            noise = rng.integers(0, 255, (H, W, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode(None))
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) * 6 // 10])
    count, _ = _run(whole, tmp_path, known_depth)
    assert FRAMES * 0.4 < count < FRAMES * 0.75
    assert len(_frames(tmp_path / "out/cut_depth.mp4")) == count


def test_damaged_parts_are_skipped_and_named(video, tmp_path, known_depth):
    data = bytearray(video.read_bytes())
    begin = data.index(b"mdat") + 4
    data[begin + 700 : begin + 1100] = b"\xff" * 400
    video.write_bytes(data)
    problems = Problems()
    frames = list(Video(video, problems).read())
    assert 0 < len(frames) <= FRAMES
    assert len(frames) == FRAMES or problems


UNEVEN = {
    "half a frame a second": [2000 * n for n in range(20)],
    "a time lapse": [10_000 * n for n in range(4)],
    "a screen recorder": [0, 33, 66, 1000, 1033, 3000, 3500],
    "a pause before a short last piece": [*(33 * n for n in range(6)), 10_000, 10_033, 13_000],
    "a pause within a piece": [0, 33, 2000, 2033, 5000, *(8000 + 33 * n for n in range(9))],
    "one frame": [0],
    "two frames": [0, 40],
}


@pytest.mark.parametrize("kind", UNEVEN)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_all_frames_are_written_at_their_times(tmp_path, known_depth, kind, suffix):
    times = UNEVEN[kind]
    video = _write(tmp_path / f"uneven{suffix}", times, rate=1 if times[-1] > 13_500 else 30)
    count, problems = _run(video, tmp_path, known_depth)
    written = [t for t, _ in _frames(tmp_path / "out/uneven_depth.mp4")]
    np.testing.assert_allclose(written, np.array(times) / 1e3, atol=1e-3)
    assert count == len(times)
    assert problems.lines() == []


@pytest.mark.parametrize("size", [(33, 27), (640, 16), (17, 90), (2, 2)])
def test_odd_and_tiny_pictures_are_written(tmp_path, known_depth, size):
    width, height = size
    video = _write(tmp_path / "odd.mkv", [0, 100, 200], width=width, height=height, codec="ffv1")
    assert _run(video, tmp_path, known_depth)[0] == 3
    frames = _frames(tmp_path / "out/odd_depth.mp4")
    assert len(frames) == 3
    assert abs(frames[0][1][: height // 2 + 1, : width // 2, 0].mean() - _red(0)) < 20


def test_the_colours_of_one_frame_are_those_of_its_depth(tmp_path, known_depth):
    _run(_write(tmp_path / "one.mp4", [0]), tmp_path, known_depth)
    near = json.loads((tmp_path / "out/one_depth.json").read_text())["near"]
    assert abs(near - (1 + _red(0) / 100)) < 0.05


def test_a_video_that_is_gone_or_cut_is_made_again_and_the_reason_told(
    video, tmp_path, known_depth
):
    def again():
        said = []
        known_depth.batches.clear()
        run = VideoRun(video, tmp_path / "out", piece=6)
        assert depth_of_video(run, known_depth, Processes(), remark=said.append)[0] == FRAMES
        return said

    assert again() == []
    made = tmp_path / "out/drive_depth.mp4"
    assert again() == [] and not known_depth.batches
    made.write_bytes(made.read_bytes()[:-2000])
    (sentence,) = again()
    assert sentence.startswith(f"done again: {made} holds ") and known_depth.batches
    made.unlink()
    assert again() == [f"done again: {made} holds 0 of 20 frames"] and known_depth.batches
    assert len(_frames(made)) == FRAMES


def test_frames_whose_files_are_gone_are_made_again(video, tmp_path, known_depth):
    _run(video, tmp_path, known_depth, formats=("npy",))
    (tmp_path / "out/drive/000004_depth.npy").unlink()
    _run(video, tmp_path, known_depth, formats=("npy",))
    assert np.load(tmp_path / "out/drive/000004_depth.npy").shape == (H, W)


def test_a_piece_that_a_power_cut_emptied_is_made_again(video, tmp_path, known_depth):
    class Dies(Exception):
        pass

    def dies_late(images, cameras):
        if len(known_depth.batches) == 16 + 15:
            raise Dies
        return known_depth(images, cameras)

    with pytest.raises(Dies):
        _run(video, tmp_path, dies_late)
    (tmp_path / "out/drive_depth.part/000000.nut").write_bytes(b"")
    assert _run(video, tmp_path, known_depth)[0] == FRAMES
    assert len(_frames(tmp_path / "out/drive_depth.mp4")) == FRAMES


def test_another_setting_is_named_with_both_values(video, tmp_path, known_depth):
    said = []
    for preset in ("accurate", "fast"):
        run = VideoRun(video, tmp_path / "out", facts={"preset": preset}, piece=6)
        depth_of_video(run, known_depth, Processes(), remark=said.append)
    assert said == ["done again: preset was 'accurate' and is 'fast'"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.mp4", b"this is not a video", "notes.mp4 is not a video that can be read"),
        ("empty.mp4", b"", "empty.mp4 is not a video that can be read"),
    ],
)
def test_what_is_no_video_is_named(tmp_path, known_depth, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        _run(tmp_path / name, tmp_path, known_depth)


def test_a_part_without_frames_is_an_error(video, tmp_path, known_depth):
    with pytest.raises(ValueError, match="no frame between 60"):
        _run(video, tmp_path, known_depth, start=60.0)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command_with_its_real_pipeline(video, tmp_path, capsys):
    arguments = ["video", str(video), "--output", str(tmp_path / "out"), "--every", "10"]
    assert main([*arguments, "--processing-resolution", "32", "--batch", "2"]) == 0
    assert "drive.mp4: 2 frames" in capsys.readouterr().out
    assert len(_frames(tmp_path / "out/drive_depth.mp4")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.mp4"], "nowhere.mp4 does not exist"),
        (["drive.mp4", "--formats", "avi"], "--formats avi: known are video, png"),
        (["drive.mp4", "--workers", "0"], "--workers is 0"),
        (["drive.mp4", "--every", "0"], "every is 0"),
        (["drive.mp4", "--near", "5", "--far", "2"], "near 5.0 has to be below far 2.0"),
    ],
)
def test_wrong_usage_ends_with_status_2(video, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["video", *arguments, "--output", "out", "--processing-resolution", "32"]) == 2
    assert message in capsys.readouterr().err


def test_the_frames_of_a_camera_with_a_lens_are_rectified(video, tmp_path, known_depth):
    camera = GivenCamera(
        "a file",
        k=(0.6 * W, 0, W / 2, 0, 0.6 * W, H / 2, 0, 0, 1),
        d=(-0.28, 0.07, 0, 0, 0),
        p=(0.4 * W, 0, W / 2, 0, 0, 0.4 * W, H / 2, 0, 0, 0, 1, 0),
    )
    told = []
    count, problems = _run(
        video,
        tmp_path,
        known_depth,
        formats=("video", "npy"),
        intrinsics=camera,
        tell=told.append,
    )
    assert (count, bool(problems)) == (FRAMES, False)
    seen = camera.rectifier(W, H).seen
    assert 0.3 < seen.mean() < 0.95
    depth = np.load(tmp_path / "out/drive/000000_depth.npy")
    np.testing.assert_array_equal(np.isfinite(depth), seen)
    facts = json.loads((tmp_path / "out/drive/000000_depth.json").read_text())
    assert facts["intrinsics"][0][0] == pytest.approx(0.4 * W)
    assert facts["picture"] == "rectified"
    assert "are rectified with them (plumb_bob)" in told[0]


def test_frames_of_a_camera_keep_the_sensors_rows_and_columns(tmp_path):
    """A file that a player turns by 180 degrees: by the matrix in its track's header."""
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = W, H, "yuv420p"
        rgb = np.full((H, W, 3), 60, np.uint8)
        rgb[: H // 2, : W // 2] = 200
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    begin = data.index(b"tkhd") + 44
    one, less = 1 << 16, (1 << 32) - (1 << 16)
    assert struct.unpack_from(">9I", data, begin) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    struct.pack_into(">9I", data, begin, less, 0, 0, 0, less, 0, W << 16, H << 16, 1 << 30)
    path.write_bytes(data)
    upright = next(Video(path, Problems()).read()).rgb
    sensor = next(Video(path, Problems(), upright=False).read()).rgb
    assert sensor[: H // 2, : W // 2].mean() > 150 > upright[: H // 2, : W // 2].mean()
    np.testing.assert_array_equal(upright, sensor[::-1, ::-1])
