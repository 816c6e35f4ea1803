# SPDX-License-Identifier: Apache-2.0
"""Cameras that die, clocks that jump, floods of frames: the node goes on with true figures."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from ...node.conftest import camera_info, image, picture
from .sampling import Sampler

CAMERA = str(Path(__file__).with_name("camera_process.py"))
W, H = 64, 48
HOUR = 3_600_000_000_000
NOW = 1_700_000_000_000_000_000


def frame(stamp, width=W, height=H):
    return image(picture(width, height), stamp=stamp), camera_info(width, height, stamp)


def depth_of(peer, depths, stamp, *messages):
    """Sends a frame and waits for the depth image of that stamp."""
    stamp = Time(sec=stamp // 10**9, nanosec=stamp % 10**9)
    peer.send(*messages)
    return next(
        m
        for m in depths.wait_for(lambda got: any(m.header.stamp == stamp for m in got))
        if m.header.stamp == stamp
    )


def test_a_camera_that_is_killed_and_started_again_is_served_again(
    start_node, start_process, peer, record
):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    node = start_node(stand_in=True)
    rounds = 3
    for _ in range(rounds):
        camera = start_process(CAMERA, "20", str(W), str(H))
        seen = len(depths.messages)
        depths.wait_for_count(seen + 5)
        camera.process.kill()
        camera.process.wait()
        count = len(statuses.messages)
        statuses.wait_for(lambda m, c=count: any(s[1] == "no image arrives" for s in m[c:]))
    assert peer.state() == "active"
    assert "Traceback" not in node.log
    record(
        "The camera's process killed (SIGKILL) and started again",
        f"{rounds} times",
        "depth again after each start; the silence between is in /diagnostics",
    )


@pytest.mark.parametrize("sync", ["exact", "approximate", "latest"])
def test_a_clock_that_jumps_an_hour_costs_no_frame(sync, start_node, peer, record):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    start_node(stand_in=True, sync=sync)
    peer.become_camera()
    peer.send_until_seen(*frame(NOW), depths)
    before = _drops(_next_values(statuses))  # while the processes found each other
    begins = [NOW + 10**9, NOW - HOUR, NOW + HOUR, NOW + HOUR - 2 * 10**9]
    for stamp in (begin + i * 100_000_000 for begin in begins for i in range(5)):
        depth_of(peer, depths, stamp, *frame(stamp))
    values = _next_values(statuses)
    assert 0 <= float(values["latency, median (ms)"]) <= float(values["latency, largest (ms)"])
    assert float(values["latency, largest (ms)"]) < HOUR / 1e6
    assert _drops(values) == before
    record(
        f"Stamps that jump an hour back and forth, sync {sync}",
        f"{len(begins) - 1} jumps",
        "each frame is used; latencies in /diagnostics stay those of the work",
    )


def test_simulated_time_may_stand_start_late_and_jump_back(start_node, peer, record):
    depths = peer.listen("depth/image_rect", Image)
    diagnostics = peer.listen("/diagnostics", DiagnosticArray)
    clock = peer.node.create_publisher(Clock, "/clock", 10)
    node = start_node(stand_in=True, ros_args=("-p", "use_sim_time:=true"))
    # Time stands at zero: the node is active all the same, and works.
    peer.become_camera()
    peer.send_until_seen(*frame(10**9), depths)
    assert diagnostics.wait_for_count(1)[-1].header.stamp == Time()

    for second in (5000, 5001, 1400, 1401, 5002):
        now = Clock(clock=Time(sec=second))

        def reported(messages, now=now):
            clock.publish(now)
            return messages[-1].header.stamp == now.clock

        peer.wait_until(lambda r=reported: r(diagnostics.messages))
        depth_of(peer, depths, second * 10**9, *frame(second * 10**9))
    values = {item.key: item.value for item in diagnostics.messages[-1].status[0].values}
    assert values["state"] == "active"
    assert 0 <= float(values["latency, largest (ms)"]) < 60_000
    assert "Traceback" not in node.log
    record(
        "use_sim_time: no /clock yet, /clock that starts, jumps an hour back and forth again",
        "5 times of day",
        "the node activates without a clock; each frame is used; /diagnostics carry the simulated "
        "time and come each second of the real one",
    )


def test_more_frames_than_it_can_take_are_counted_and_cost_nothing_else(
    start_node, start_process, peer, record
):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    node = start_node(stand_in=True, model="sleep=0.1")
    start_process(CAMERA, "200", str(W), str(H))
    depths.wait_for_count(20)
    sampler = Sampler(node.process.pid)
    begun = sampler.look(0)
    assert peer.state() == "active"  # services are answered meanwhile
    depths.wait_for_count(len(depths.messages) + 80)
    end = sampler.look(1)
    values = statuses.messages[-1][2]
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in depths.messages]
    assert stamps == sorted(stamps)
    assert int(values["dropped, superseded"]) > 0
    assert (end.threads, end.files) == (begun.threads, begun.files)
    assert end.anonymous - begun.anonymous < 20 * 2**20
    assert "Traceback" not in node.log
    record(
        "A camera of 200 Hz on a model of 10 Hz",
        f"{values['images received']} images, {values['input rate (Hz)']} Hz arrived",
        f"{values['frames published']} depth images, in order; {values['dropped, superseded']} "
        f"superseded; latency median {values['latency, median (ms)']} ms, largest "
        f"{values['latency, largest (ms)']}; memory of its own {begun.anonymous / 2**20:.0f} to "
        f"{end.anonymous / 2**20:.0f} MiB",
    )


@pytest.mark.parametrize(
    ("frames", "sizes", "weights"),
    [
        pytest.param(60, 60, {"stand_in": True}, id="quick"),
        pytest.param(
            int(os.environ.get("SHARPDEPTH_SIZES", "200")),
            100,
            {},
            id="long",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_stream_that_changes_its_size_with_each_frame(
    frames, sizes, weights, start_node, peer, record
):
    """With the demo weights each size comes twice: what is kept of a size must not add up."""
    depths = peer.listen("depth/image_rect", Image)
    node = start_node(**weights)
    peer.become_camera()
    peer.send_until_seen(*frame(1), depths)
    sampler = Sampler(node.process.pid)
    all_sizes = [(40 + 3 * i, 200 - i) for i in range(sizes)]
    for number, (width, height) in zip(range(frames), itertools.cycle(all_sizes), strict=False):
        stamp = 10**9 * (number + 2)
        depth = depth_of(peer, depths, stamp, *frame(stamp, width, height))
        assert (depth.width, depth.height) == (width, height)
        depths.forget()
        sampler.look(number)
    own = [value / 2**20 for value in sampler.series("anonymous")]
    half = len(own) // 2
    record(
        "Another image size with each frame, " + ("a stand-in" if weights else "the demo weights"),
        f"{frames} frames, {min(sizes, frames)} sizes",
        f"each has depth of its size; memory of its own {own[0]:.0f} MiB at first, "
        f"{own[half]:.0f} half way, {own[-1]:.0f} at the end; threads "
        f"{sampler.usual('threads')[1]:.0f}",
    )
    # oneDNN keeps up to 1024 kernels, each for one size, and the heap has their gaps.
    assert own[-1] - own[half] < (20 if weights else 100)
    for name in ("threads", "files"):
        assert len(set(sampler.usual(name))) == 1
    assert "Traceback" not in node.log


def test_a_model_that_fails_in_every_way_at_once_loses_those_frames_alone(start_node, peer, record):
    """Frame by frame: what is to come out of it is known from its number."""
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    node = start_node(stand_in=True, model="fail=3 oom=4 nan=5 inf=7", min_depth=0.1)
    peer.become_camera()
    # What is refused before it gets to the model tells that camera, node and listener are joined.
    unknown, info = frame(1)
    unknown.encoding = "plaid8"

    def refused() -> bool:
        peer.send(unknown, info)
        return bool(statuses.messages) and "dropped, bad_image" in statuses.messages[-1][2]

    peer.wait_until(refused)
    rounds = 24
    for number in range(1, rounds + 1):
        stamp = number * 10**9
        fails = number % 3 == 0 or number % 4 == 0
        if fails:
            peer.send(*frame(stamp))
            peer.wait_until(lambda n=number: _counted(statuses) >= n)
            continue
        depth = np.frombuffer(depth_of(peer, depths, stamp, *frame(stamp)).data, np.float32)
        assert np.isnan(depth).all() == (number % 5 == 0 or number % 7 == 0)
        assert not np.isinf(depth).any()
    values = statuses.messages[-1][2]
    assert peer.state() == "active"
    assert "Traceback" not in node.log
    record(
        "The model raises on every 3rd frame, is out of memory on every 4th, answers NaN on every "
        "5th and infinity on every 7th",
        f"{rounds} frames",
        f"{values['dropped, process_failed']} and {values['dropped, out_of_memory']} dropped, all "
        "others published; NaN and infinity come out as invalid pixels",
    )


def _next_values(statuses):
    """The figures of a status that is made after this call."""
    return statuses.wait_for_count(len(statuses.messages) + 2)[-1][2]


def _drops(values):
    return {name: count for name, count in values.items() if name.startswith("dropped")}


def _counted(statuses):
    """Frames that are done with, by the last status."""
    values = statuses.messages[-1][2] if statuses.messages else {}
    causes = ("frames published", "dropped, process_failed", "dropped, out_of_memory")
    return sum(int(values.get(cause, 0)) for cause in causes)
