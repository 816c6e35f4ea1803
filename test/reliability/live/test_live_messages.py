# SPDX-License-Identifier: Apache-2.0
"""Faulty messages through the DDS to the node; each valid frame between them is used.

The long form: python scripts/reliability.py --only live_messages --messages 10000
"""

import array
import os
import time
from collections import Counter

import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from ...node.conftest import wait_until
from ..growth import growth
from .mutations import FAULTS, Mutator, frame
from .sampling import Sampler, write_csv

#: Seconds from one frame to the next: time enough for the node to look at it.
PERIOD = 0.02
KINDS = {"raw": Image, "compressed": CompressedImage}
LONG = int(os.environ.get("SHARPDEPTH_LIVE_MESSAGES", "10000"))
#: Seconds after which a valid frame is taken for lost. A busy machine takes one.
PATIENCE = 20.0


def test_the_same_seed_makes_the_same_faults_and_each_kind_of_them():
    for transport, faults in FAULTS.items():
        mutators = [Mutator(3, transport) for _ in range(2)]
        made, again = ([mutator(number) for number in range(400)] for mutator in mutators)
        assert [names for names, _, _ in made] == [names for names, _, _ in again]
        assert {name for names, _, _ in made for name in names} == set(faults)


@pytest.mark.parametrize("transport", KINDS)
@pytest.mark.parametrize(
    "messages",
    [pytest.param(150, id="quick"), pytest.param(LONG, id="long", marks=pytest.mark.long)],
)
def test_each_valid_frame_between_faulty_ones_is_used_and_nothing_grows(
    messages, transport, start_node, peer, record, report_folder
):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    suffix = "/compressed" if transport == "compressed" else ""
    # All images wait their turn, so that the node looks at each; by default the newest is enough.
    depth_of_queue = f"qos_overrides./image{suffix}.subscription.depth:=100"
    node = start_node(stand_in=True, image_transport=transport, ros_args=("-p", depth_of_queue))
    peer.become_camera(image=f"image{suffix}", kind=KINDS[transport], qos=100)
    peer.send_until_seen(*frame(transport, 0), depths)

    if messages >= 1000:
        _fill_queues(peer, transport)
        depths.forget()
    mutator, sampler = Mutator(1, transport), Sampler(node.process.pid)
    faults: Counter[str] = Counter()
    sent = valid = number = 0
    lost: list[list[str]] = []  # the faults before each valid frame that was not used
    while sent < messages:
        for _ in range(mutator.burst()):
            number += 1
            names, message, info = mutator(number)
            faults.update(names)
            sent += 1
            peer.send(message, info)
            time.sleep(PERIOD)
        number += 1
        valid += 1
        peer.send(*frame(transport, number))
        try:
            depths.wait_for(lambda m, n=number: _has(m, n), PATIENCE)
        except AssertionError:
            assert node.process.poll() is None, node.log
            lost += 1
        depths.forget()
        if valid % max(messages // 200, 1) == 0:
            sampler.look(sent)
    write_csv(sampler.samples, report_folder / f"{transport}_messages.csv")
    values = _last_values(statuses)
    dropped = {k.removeprefix("dropped, "): int(v) for k, v in values.items() if "dropped" in k}
    grown = growth(sampler.series("count"), sampler.series("anonymous"))
    threads, files = sampler.usual("threads"), sampler.usual("files")
    record(
        f"Faulty messages through the DDS, {transport} images",
        f"{sent} frames with {len(faults)} kinds of faults, {valid} valid ones between them",
        f"{valid - len(lost)} valid ones used; of {values['images received']} images received the "
        "node dropped "
        + ", ".join(f"{count} as {cause}" for cause, count in dropped.items())
        + f"; memory of its own {grown.rate:+.0f} B per message, 95 % interval {grown.low:+.0f} to "
        f"{grown.high:+.0f}; threads {threads[1]:.0f}, files {files[1]:.0f}",
    )
    assert lost == []
    assert set(faults) == set(FAULTS[transport])
    assert dropped.keys() >= {"bad_image", "bad_camera_info", "bad_stamp", "size_mismatch"}
    assert dropped.keys() <= {"superseded", "no_camera_info", *_REFUSALS}
    assert threads[0] == threads[1]
    assert files[0] == files[1]
    if messages >= 1000:  # fewer are over before the allocator has what it needs
        assert grown.low <= 0
    assert node.process.poll() is None
    assert "Traceback" not in node.log


_REFUSALS = ("bad_image", "bad_camera_info", "bad_stamp", "size_mismatch")


def _fill_queues(peer, transport):
    """Has each place in the node's queues hold a message as large as they come.

    Fast DDS keeps its memory then, at most the length of the queue times the largest message. In
    the run itself that happens by chance, here and there one place, for ten thousand messages.
    """
    picture, info = frame(transport, 0)
    picture.data = array.array("B", bytes(120_000))
    info.header.frame_id = info.distortion_model = "x" * 70_000  # the header is the picture's too
    info.d = [0.1] * 10_000
    picture, info = serialize_message(picture), serialize_message(info)
    for _ in range(30):
        for _ in range(40):
            peer.send(picture, info)
        time.sleep(0.5)


def _has(depths, number):
    return any(depth.header.frame_id == f"frame {number}" for depth in depths)


def _last_values(statuses):
    """The figures of a status that was made after all of this."""
    count = len(statuses.messages)
    wait_until(lambda: len(statuses.messages) > count + 1)
    return statuses.messages[-1][2]
