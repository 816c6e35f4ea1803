# SPDX-License-Identifier: Apache-2.0
"""The node is judged by what comes out: waits that end, threads that die, frames that get lost."""

import time

import pytest
import torch
from sensor_msgs.msg import Image

from sharpdepth_ros.node.diagnostics import make_status
from sharpdepth_ros.node.statistics import NOBODY_LISTENS, FrameStatistics, Report
from sharpdepth_ros.node.worker import WAITING_FOR_FRAME, WAITING_FOR_TURN, WORKING

from .conftest import camera_info, image, picture

W, H = 64, 48
OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"


def _stream(peer):
    """A function that sends the next frame."""
    stamps = iter(range(1, 10**6))

    def send():
        stamp = next(stamps)
        peer.send(image(picture(W, H), stamp=stamp), camera_info(W, H, stamp))

    return send


def _wait_sending(peer, send, condition):
    peer.wait_until(lambda: send() or time.sleep(0.02) or condition())


@pytest.mark.parametrize("rate", [0.02, 1e-12])
def test_frames_come_as_soon_as_max_rate_allows_them_again(rate, start_node, peer):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    start_node(stand_in=True)
    peer.become_camera()
    send = _stream(peer)
    _wait_sending(peer, send, lambda: depths.messages)
    assert peer.set_parameters(max_rate=rate)[0]
    _wait_sending(
        peer, send, lambda: statuses.messages and "max_rate leaves" in statuses.messages[-1][1]
    )
    seen = len(depths.messages)
    assert peer.set_parameters(max_rate=0.0)[0]
    _wait_sending(peer, send, lambda: len(depths.messages) > seen + 2)
    assert peer.state() == "active"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("exit=2", "the device thread ended: SystemExit: a library wants to leave"),
        ("exitpublish=2", "the publishing thread ended: SystemExit: a library wants to leave"),
        ("oddtimes=2", "the diagnostics thread failed: "),
        ("deadthread=2", "the thread helper ended: RuntimeError: nobody catches this"),
    ],
    ids=["device", "publishing", "diagnostics", "any other"],
)
def test_a_thread_that_dies_takes_the_node_to_an_error_that_diagnostics_show(
    model, told, start_node, peer
):
    statuses = peer.diagnostics()
    node = start_node(stand_in=True, model=model)
    peer.listen("depth/image_rect", Image)
    peer.become_camera()
    _wait_sending(
        peer, _stream(peer), lambda: any(m[0] == ERROR and told in m[1] for m in statuses.messages)
    )
    peer.wait_until(lambda: peer.state() == "unconfigured")
    assert node.log.count(told) == 1  # said once, though the status repeats it
    assert peer.transition("configure")
    assert peer.transition("activate")
    if model != "deadthread=2":  # the node's own threads begin anew
        count = len(statuses.messages)
        statuses.wait_for(lambda m: len(m) > count + 1 and m[-1][0] != ERROR)


def test_a_frame_that_does_not_end_is_a_warning_that_says_so(start_node, peer):
    statuses = peer.diagnostics()
    start_node(stand_in=True, model="stuck=1")
    peer.listen("depth/image_rect", Image)
    peer.become_camera()

    def warned():
        return statuses.messages and f"has been {WORKING} for" in statuses.messages[-1][1]

    _wait_sending(peer, _stream(peer), warned)
    assert statuses.messages[-1][0] == WARN
    assert "superseded" in statuses.messages[-1][1]


def _report(**fields):
    figures = {
        **{"received": 50, "published": 9, "dropped": {}, "dropped_meanwhile": {}},
        **{"unanswered_for": 0.0, "input_rate": 10.0, "output_rate": 0.0, "age": 200.0},
        **{"oldest": 200.0, "stages": {}, "silent_for": 0.1, "last_problem": None},
        "idle": False,
    }
    return Report(**figures | fields)


@pytest.mark.parametrize(
    ("report", "interval", "level", "words"),
    [
        ({"unanswered_for": 2.0}, 0.0, OK, "frames per second"),
        ({"idle": True}, 0.0, OK, "no subscribers: nothing is computed"),
        ({"unanswered_for": 4.0}, 0.0, WARN, "nothing has been published for 4 s"),
        ({"unanswered_for": 40.0, "age": 2e4}, 0.0, OK, "frames per second"),
        ({"unanswered_for": 70.0, "age": 2e4}, 0.0, WARN, "nothing has been published for 70 s"),
        ({"unanswered_for": 70.0}, 50.0, OK, "max_rate leaves 50 s between two frames"),
        ({"unanswered_for": 160.0}, 50.0, WARN, "nothing has been published for 160 s"),
        ({"unanswered_for": 40.0, "silent_for": 9.0}, 0.0, WARN, "no image arrives"),
        (
            {
                "unanswered_for": 9.0,
                "dropped_meanwhile": {"superseded": 80, "bad_stamp": 3},
                "age": None,
            },
            0.0,
            WARN,
            "dropped meanwhile: bad_stamp 3, superseded 80",
        ),
    ],
)
def test_images_in_and_nothing_out_for_a_few_times_a_frames_work_is_a_warning(
    report, interval, level, words
):
    doing = (WAITING_FOR_TURN if interval else WAITING_FOR_FRAME, 1.0)
    status = make_status(
        "/node", "active", None, _report(**report), torch.device("cpu"), doing, interval
    )
    assert (status.level, words in status.message) == (level, True), status.message


def test_time_without_an_answer_begins_with_an_image_and_ends_with_a_frame_or_without_listeners():
    statistics = FrameStatistics()
    assert statistics.report().unanswered_for == 0
    statistics.received()
    statistics.dropped("bad_image")
    assert statistics.report().unanswered_for > 0
    assert statistics.report().dropped_meanwhile == {"bad_image": 1}
    statistics.published(1.0, {})
    assert statistics.report().unanswered_for == 0
    assert statistics.report().dropped_meanwhile == {}
    statistics.received()
    statistics.dropped(NOBODY_LISTENS)
    assert statistics.report().unanswered_for == 0
    assert statistics.report().dropped == {"bad_image": 1, NOBODY_LISTENS: 1}
