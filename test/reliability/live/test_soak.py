# SPDX-License-Identifier: Apache-2.0
"""Hours of a camera's frames, and what the node holds meanwhile.

The quick form shows that the measurement finds a leak and invents none. The long form is the node
as the launch files start it, with the demo weights, and a camera at 10 Hz, for an hour:

    python scripts/reliability.py --only soak --soak-seconds 3600 --soak-preset fastest
"""

import itertools
import os
import statistics
import threading
import time

import numpy as np
import pytest
from sensor_msgs.msg import Image, PointCloud2

from sharpdepth_ros.io.depth_files import write_rgb
from sharpdepth_ros.node.fastdds import find_profile, large_message_environment, memory_environment
from sharpdepth_ros.synthetic import SyntheticCamera

from ...node.conftest import camera_info, image, picture
from ..growth import growth
from .sampling import Sampler, write_csv
from .soak_plot import draw_soak

PRESET = os.environ.get("SHARPDEPTH_SOAK_PRESET", "accurate")
THREADS = os.cpu_count() or 1
SECONDS = float(os.environ.get("SHARPDEPTH_SOAK_SECONDS", "3600"))
RATE = 10.0
LOOP = 200
"""Frames of the camera's way through a room, which it goes back and forth."""
W, H = 64, 48
LEAK = 256  # KiB per frame


class Arrivals:
    """Counts depth images and keeps their ages; not the images, of which an hour has many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ages: list[float] = []
        self.count = 0

    def add(self, depth: Image) -> None:
        stamp = depth.header.stamp
        age = time.time() - stamp.sec - stamp.nanosec * 1e-9
        with self._lock:
            self.count += 1
            self._ages.append(age * 1e3)

    def take_latency(self) -> float:
        """Median age in milliseconds of those that came since the last call."""
        with self._lock:
            ages, self._ages = self._ages, []
        return statistics.median(ages) if ages else float("nan")


@pytest.mark.parametrize("leak", [0, LEAK])
def test_a_node_that_leaks_is_told_from_one_that_does_not(leak, start_node, peer):
    depths = peer.listen("depth/image_rect", Image)
    node = start_node(stand_in=True, model=f"leak={leak}" if leak else "sleep=0")
    peer.become_camera()
    frame, info = image(picture(W, H)), camera_info(W, H)
    peer.send_until_seen(frame, info, depths)
    sampler = Sampler(node.process.pid)
    for count in range(400):
        for message in (frame, info):
            message.header.stamp.sec = 10 + count
        before = len(depths.messages)
        peer.send(frame, info)
        depths.wait_for_count(before + 1)
        if count % 5 == 0:
            sampler.look(count)
    found = growth(sampler.series("count"), sampler.series("anonymous"))
    if leak:
        assert found.low > 0
        assert found.rate == pytest.approx(leak * 1024, rel=0.2)
    else:
        assert found.high < LEAK * 1024 / 4
    for name in ("threads", "files"):
        assert len(set(sampler.usual(name))) == 1


@pytest.fixture
def video(tmp_path):
    """A folder of images. Rendering them live would take a core from the node."""
    frames = SyntheticCamera(320, 240, fps=RATE, kind="room", scene_seconds=None).frames()
    there = [frame.rgb for frame in itertools.islice(frames, LOOP)]
    for number, rgb in enumerate([*there, *there[-2:0:-1]]):
        write_rgb(tmp_path / f"{number:04d}.png", rgb)
    return tmp_path


@pytest.fixture
def as_launched(monkeypatch):
    """The environment that the launch files give, and all cores."""
    variables, _ = large_message_environment(find_profile())
    variables |= memory_environment() | {"OMP_NUM_THREADS": str(THREADS)}
    for name, text in variables.items():
        monkeypatch.setenv(name, text)


@pytest.mark.long
def test_an_hour_of_the_demo_leaves_the_node_as_it_was(
    as_launched, video, start_node, start_process, peer, record, report_folder
):
    arrivals, clouds = Arrivals(), itertools.count()
    peer.node.create_subscription(Image, "depth/image_rect", arrivals.add, 5)
    # Not unpacked: what it costs the node is the test.
    peer.node.create_subscription(PointCloud2, "points", lambda _: next(clouds), 5, raw=True)
    node = start_node(preset=PRESET)
    camera = start_process(
        "-m",
        "sharpdepth_ros.demo.camera",
        "--ros-args",
        *("-p", f"rate:={RATE}", "-p", f"images:={video}"),
    )
    peer.wait_until(lambda: arrivals.count > 0, timeout=300)
    arrivals.take_latency()
    statuses = peer.diagnostics()
    sampler, end = Sampler(node.process.pid), time.monotonic() + SECONDS
    interval = max(SECONDS / 1200, 1.0)
    while time.monotonic() < end:
        time.sleep(interval)  # the samples' spacing; what happens meanwhile is the test
        assert camera.process.poll() is None, camera.log
        assert node.process.poll() is None, node.log
        sampler.look(arrivals.count, arrivals.take_latency())
        write_csv(sampler.samples, report_folder / "soak.csv")
    values = statuses.messages[-1][2]

    frames = sampler.series("count")
    found = {
        n: growth(frames, sampler.series(n)) for n in ("resident", "proportional", "anonymous")
    }
    draw_soak(sampler.samples, found["anonymous"], report_folder / "soak.png")
    settled = sampler.samples[len(sampler.samples) // 4 :]
    latencies = [s.latency for s in settled if np.isfinite(s.latency)]
    own = found["anonymous"]
    threads, files = (sampler.usual(name, warm_up=0.25) for name in ("threads", "files"))
    record(
        f"Soak: demo weights, preset {PRESET}, {THREADS} threads, a camera of 320x240 at "
        f"{RATE:.0f} Hz, subscribers to depth and points",
        f"{SECONDS / 60:.0f} min, {values['images received']} images received, {frames[-1]} depth "
        f"images and {next(clouds)} clouds seen",
        "; ".join(
            f"{name} memory {g.rate:+.0f} B per frame, 95 % interval {g.low:+.0f} to {g.high:+.0f}"
            for name, g in found.items()
        )
        + f"; memory of its own {settled[0].anonymous / 2**20:.0f} MiB after the warm-up, "
        f"{settled[-1].anonymous / 2**20:.0f} at the end; "
        f"threads {threads[0]} in the first half of that, {threads[1]} in the second, "
        f"files {files[0]} and {files[1]}; "
        f"latency median {statistics.median(latencies):.0f} ms, first settled quarter "
        f"{statistics.median(latencies[: len(latencies) // 4]):.0f}, last "
        f"{statistics.median(latencies[-len(latencies) // 4 :]):.0f}",
    )
    assert own.low <= 0
    assert threads[0] == threads[1]
    assert files[0] == files[1]
    assert "Traceback" not in node.log
