# SPDX-License-Identifier: Apache-2.0
"""A run that is killed leaves no bag behind, and the same command finishes it."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from sharpdepth_ros.cli import main
from sharpdepth_ros.processing.frame import Demand, Frame
from sharpdepth_ros.processing.frame_processor import FrameProcessor
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.recordings.bags import work_folder

from .conftest import BEGIN, STEP, Bag, camera_info, digest, image, picture, read
from .stand_in_command import StandIn

FRAMES = 12
SMOOTH = ["-p", "scale_smoothing=0.8"]
STAND_IN = Path(__file__).parent / "stand_in_command.py"


@pytest.fixture
def long_recording(tmp_path):
    """A still scene that turns redder: what scale_smoothing remembers matters in every frame."""
    bag, scene = Bag(), picture(0) // 2
    for number in range(FRAMES):
        bag.add_frame(number, pixels=scene + np.array([2 * number, 0, 0], np.uint8))
    return bag.write(tmp_path / "in", "mcap")


def _command(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(STAND_IN), "bag", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        **options,
    )


def _wait_for(path, process):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.stdout.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("target", ["out", "out.db3"])
def test_a_killed_run_goes_on_where_it_was_and_gives_the_same_bag(
    long_recording, tmp_path, stand_in, target
):
    before = digest(long_recording)
    whole, out = tmp_path / f"whole_{target}", tmp_path / target
    arguments = ["--storage", "sqlite3", *SMOOTH, "--checkpoint", "0"]
    assert main(["bag", str(long_recording), str(whole), *arguments]) == 0

    unsmoothed = tmp_path / "unsmoothed"
    assert main(["bag", str(long_recording), str(unsmoothed)]) == 0
    assert read(unsmoothed)[-3:] != read(whole)[-3:]

    pieces = tmp_path / f"{target}.part" / "pieces"
    for wanted in ("0002", "0011"):
        process = _command(str(long_recording), str(out), *arguments)
        _wait_for(pieces / wanted, process)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert not out.exists()
    assert (pieces / "0011").exists()
    last = _command(str(long_recording), str(out), *arguments)
    said, _ = last.communicate(timeout=120)
    assert last.returncode == 0, said.decode()
    assert f"{FRAMES} frames with depth" in said.decode()

    assert read(out) == read(whole)
    assert digest(long_recording) == before
    assert {p.name for p in tmp_path.iterdir()} == {
        "in", "unsmoothed", target, f"whole_{target}",
    }  # fmt: skip


def test_a_run_that_is_asked_to_end_keeps_everything_it_did(long_recording, tmp_path):
    out = tmp_path / "out"
    process = _command(str(long_recording), str(out), "--checkpoint", "99")
    _wait_for(tmp_path / "out.part" / "unfinished" / "0000", process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"the same command goes on from here" in said
    assert (tmp_path / "out.part" / "pieces" / "0000").exists()
    assert not out.exists()


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_full_disk_ends_the_run_in_one_line_and_keeps_what_was_finished(
    long_recording, tmp_path, storage
):
    def fill_the_disk():  # no file may be larger than this; a piece of one frame is not
        resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000))

    out = tmp_path / "out"
    arguments = [str(long_recording), str(out), "--storage", storage]
    process = _command(*arguments, "--checkpoint", "99", preexec_fn=fill_the_disk)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1, said.decode()
    assert b"the new bag cannot be written" in said
    assert b"Traceback" not in said
    assert not out.exists()
    assert _command(*arguments).wait(120) == 0
    assert len([m for m in read(out) if m[0] == "/points"]) == FRAMES


def test_large_pieces_stay_the_files_of_one_bag(long_recording, tmp_path, monkeypatch, stand_in):
    monkeypatch.setattr(work_folder, "_ONE_FILE", 0)
    out, joined = tmp_path / "out", tmp_path / "joined"
    assert main(["bag", str(long_recording), str(out), "--checkpoint", "0"]) == 0
    monkeypatch.undo()
    files = sorted(out.glob("*.mcap"))
    assert len(files) > FRAMES
    monkeypatch.setattr("sharpdepth_ros.node.frame_handler.build_pipeline", lambda _: stand_in)
    assert main(["bag", str(long_recording), str(joined)]) == 0
    assert read(out) == read(joined)
    with Reader(out) as one, Reader(joined) as other:
        assert one.message_count == other.message_count == FRAMES * 5
        assert (one.start_time, one.end_time) == (other.start_time, other.end_time)
        assert [(c.topic, c.msgcount) for c in one.connections] == [
            (c.topic, c.msgcount) for c in other.connections
        ]


def test_work_of_another_run_is_neither_used_nor_lost(
    long_recording, tmp_path, capsys, monkeypatch, stand_in
):
    stand_in.fail_at = set(range(4, 99))
    arguments = ["bag", str(long_recording), str(tmp_path / "out"), "--checkpoint", "0"]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "5 frames in a row failed, the last one with: the device had enough" in said
    work = tmp_path / "out.part"
    assert (work / "pieces" / "0000").exists()
    stand_in.fail_at = set()
    assert main([*arguments, "-p", "point_stride=2"]) == 2
    assert "point_stride was 1 and is 2" in capsys.readouterr().err
    assert (work / "pieces" / "0000").exists()
    assert main([*arguments, "-p", "point_stride=2", "--restart"]) == 0
    assert len([m for m in read(tmp_path / "out") if m[0] == "/points"]) == FRAMES


def test_two_processes_do_not_work_on_one_output(long_recording, tmp_path, capsys, stand_in):
    folder = work_folder.WorkFolder(tmp_path / "out", work_folder.BagForm("mcap"), {})
    with folder.opened():
        assert main(["bag", str(long_recording), str(tmp_path / "out")]) == 2
    assert "another process is at work" in capsys.readouterr().err


def test_frames_of_a_finished_piece_are_not_computed_again(long_recording, tmp_path, stand_in):
    stand_in.fail_at = set(range(6, 11))
    arguments = ["bag", str(long_recording), str(tmp_path / "out"), "--checkpoint", "0"]
    assert main(arguments) == 1
    before, stand_in.fail_at = stand_in.calls, set()
    assert main(arguments) in (0, 1)
    assert stand_in.calls < before + FRAMES - 3
    stamps = [at for topic, at, _ in read(tmp_path / "out") if topic == "/points"]
    assert stamps == sorted(set(stamps))
    assert set(stamps) <= {BEGIN + n * STEP + 2000 for n in range(FRAMES)}


def _sixteen_bits(scale):
    return picture(0)[..., 0].astype(np.uint16) * scale


@pytest.mark.parametrize("dark", [2, 4])
def test_a_killed_run_keeps_the_intensity_range_of_its_stream(dark):
    """A dark frame after a bright one is dark, also where a kill lies between them."""

    def depth_after(memory, counts):
        processor = FrameProcessor(StandIn(), Parameters)
        if memory:
            processor.memory = json.loads(json.dumps(memory))
        frame = Frame(image(counts, BEGIN, "mono16"), camera_info(BEGIN), 0.0)
        return processor(frame, Demand(True, False, False)).depth, processor.memory

    bright, memory = depth_after(None, _sixteen_bits(16))
    resumed, _ = depth_after(memory, _sixteen_bits(dark))
    np.testing.assert_allclose((resumed - 1) * 16 / dark, bright - 1, atol=0.1)
    assert np.abs(depth_after(None, _sixteen_bits(dark))[0] - resumed).max() > 0.5
