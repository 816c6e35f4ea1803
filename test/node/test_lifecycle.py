# SPDX-License-Identifier: Apache-2.0
"""The five transitions, failures and signals, on a node in a process of its own."""

import signal
import time

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition as TransitionMessage
from lifecycle_msgs.srv import ChangeState
from rclpy import get_rmw_implementation_identifier
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from .conftest import camera_info, image, picture, wait_until

W, H = 64, 48
SIGNALS, SIGNAL_NAMES = [signal.SIGINT, signal.SIGTERM], ["SIGINT", "SIGTERM"]
WARN, ERROR = b"\x01", b"\x02"


def _frame(stamp=1):
    return image(picture(W, H), stamp=stamp), camera_info(W, H, stamp)


def test_a_whole_life_step_by_step(start_node, peer):
    depths = peer.listen("depth/image_rect", Image)
    start_node(stand_in=True, autostart=False)
    assert peer.state() == "unconfigured"
    assert peer.node.count_publishers("depth/image_rect") == 0
    assert peer.transition("configure")
    assert peer.state() == "inactive"
    assert peer.node.count_subscribers("image") == 0
    for _ in range(2):
        assert peer.transition("activate")
        peer.become_camera()
        seen = len(depths.messages)
        peer.wait_until(lambda seen=seen: peer.send(*_frame()) or len(depths.messages) > seen)
        assert peer.transition("deactivate")
        peer.wait_until(lambda: peer.node.count_subscribers("image") == 0)
    assert peer.transition("cleanup")
    assert peer.state() == "unconfigured"
    peer.wait_until(lambda: peer.node.count_publishers("depth/image_rect") == 0)
    assert peer.transition("configure")
    assert peer.transition("activate")
    assert peer.transition("shutdown")
    assert peer.state() == "finalized"


@pytest.mark.parametrize("number", SIGNALS, ids=SIGNAL_NAMES)
@pytest.mark.parametrize("steps", [[], ["configure"], ["configure", "activate"]], ids=len)
def test_shutdown_works_in_every_state(steps, number, start_node, peer):
    node = start_node(stand_in=True, autostart=False)
    for step in steps:
        assert peer.transition(step)
    assert peer.transition("shutdown")
    assert peer.state() == "finalized"
    assert node.interrupt(number) < 2
    assert node.process.returncode == 0
    assert "rror" not in node.log


@pytest.mark.parametrize(
    ("steps", "impossible"),
    [
        ([], ["activate", "deactivate", "cleanup"]),
        (["configure"], ["configure", "deactivate"]),
        (["configure", "activate"], ["configure", "activate", "cleanup"]),
    ],
    ids=["unconfigured", "inactive", "active"],
)
def test_a_transition_that_is_not_possible_is_refused_and_changes_nothing(
    steps, impossible, start_node, peer
):
    node = start_node(stand_in=True, autostart=False)
    for step in steps:
        assert peer.transition(step)
    state = peer.state()
    for name in impossible:
        assert not peer.transition(name)
        assert peer.state() == state
    for nonsense in (TransitionMessage(id=99), TransitionMessage(label="fly")):
        request = ChangeState.Request(transition=nonsense)
        assert not peer.call(ChangeState, "sharpdepth/change_state", request).success
    assert peer.state() == state
    assert node.log.lower().count("transition") >= len(impossible) + 1  # each is logged
    assert "Traceback" not in node.log


def _bring_up_as_nav2_does(peer):
    """The calls of nav2_lifecycle_manager (changeStateForNode), and what it takes for success.

    Up to Jazzy it counts the state afterwards alone, since Kilted the answer too.
    """
    for name, state in (("configure", "inactive"), ("activate", "active")):
        assert peer.transition(name)
        assert peer.state() == state


def test_a_lifecycle_manager_takes_over_a_node_that_autostart_has_brought_up(start_node, peer):
    depths = peer.listen("depth/image_rect", Image)
    node = start_node(stand_in=True)
    peer.wait_until(lambda: "state: active" in node.log)
    _bring_up_as_nav2_does(peer)
    assert node.log.count("and metric model") == 1  # the models stay
    peer.become_camera()
    peer.send_until_seen(*_frame(), depths)
    assert "configure requested after autostart: the node is inactive now" in node.log
    # From here on it is a managed node as any other.
    assert not peer.transition("configure")
    assert peer.state() == "active"
    assert peer.transition("deactivate")
    assert peer.transition("cleanup")
    _bring_up_as_nav2_does(peer)


def test_a_lifecycle_manager_that_asks_while_autostart_loads_waits_and_takes_over(start_node, peer):
    node = start_node(stand_in=True, model="loadsleep=1")
    peer.wait_until(lambda: "loading" in node.log)
    _bring_up_as_nav2_does(peer)
    assert node.process.poll() is None


def test_a_lifecycle_manager_configures_where_autostart_could_not(start_node, peer):
    node = start_node(stand_in=True, model="loadfail")
    peer.wait_until(lambda: "cannot load the models" in node.log)
    assert not peer.transition("configure")
    assert peer.set_parameters(model="sleep=0")[0]
    _bring_up_as_nav2_does(peer)


def test_configure_fails_with_one_line_and_can_be_repeated(start_node, peer):
    statuses = peer.diagnostics()
    node = start_node(stand_in=True, autostart=False, model="loadfail")
    assert not peer.transition("configure")
    assert peer.state() == "unconfigured"
    text = "cannot load the models: the weights are not what they seem"
    assert node.log.count(text) == 1
    assert "to try again: ros2 lifecycle set /sharpdepth configure" in node.log
    assert "Traceback" not in node.log
    statuses.wait_for(lambda m: m[-1][:2] == (ERROR, text))
    assert peer.set_parameters(model="sleep=0.01")[0]
    assert peer.transition("configure")
    assert peer.transition("activate")
    statuses.wait_for(lambda m: m[-1][0] != ERROR and m[-1][2]["state"] == "active")


def test_activation_loads_again_if_a_parameter_asks_for_it(start_node, peer):
    start_node(stand_in=True, autostart=False)
    assert peer.transition("configure")
    assert peer.set_parameters(model="loadfail")[0]
    assert not peer.transition("activate")
    assert peer.set_parameters(model="sleep=0")[0]
    assert peer.transition("activate")


def test_deactivate_returns_within_the_frame_in_work(start_node, peer):
    depths = peer.listen("depth/image_rect", Image)
    start_node(stand_in=True, model="sleep=0.5")
    peer.become_camera()
    peer.send_until_seen(*_frame(), depths)
    peer.send(*_frame(2))
    begun = time.monotonic()
    assert peer.transition("deactivate")
    assert time.monotonic() - begun < 1.2
    seen = len(depths.messages)
    peer.send(*_frame(3))
    assert peer.state() == "inactive"
    assert len(depths.messages) <= seen + 1


def test_cleanup_gives_the_memory_back(start_node, peer):
    ballast = 300
    node = start_node(stand_in=True, autostart=False, model=f"ballast={ballast}")
    assert peer.state() == "unconfigured"
    before = node.resident_mebibytes()
    assert peer.transition("configure")
    loaded = node.resident_mebibytes()
    assert loaded - before > 0.9 * ballast
    assert peer.transition("cleanup")
    assert loaded - node.resident_mebibytes() > 0.9 * ballast


def test_a_frame_that_fails_is_reported_and_the_next_is_taken(start_node, peer):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    node = start_node(stand_in=True, model="fail=2")
    peer.become_camera()
    stamps = iter(range(1, 10**6))
    peer.wait_until(lambda: peer.send(*_frame(next(stamps))) or len(depths.messages) >= 3)
    statuses.wait_for(lambda m: m[-1][0] == ERROR and "not to the model's taste" in m[-1][1])
    assert node.log.count("RuntimeError: frame") == 1  # the others are held back
    assert "dropped, process_failed" in statuses.messages[-1][2]
    assert peer.state() == "active"


def test_out_of_memory_drops_the_frame_and_goes_on(start_node, peer):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    node = start_node(stand_in=True, model="oom=2")
    peer.become_camera()
    stamps = iter(range(1, 10**6))
    peer.wait_until(lambda: peer.send(*_frame(next(stamps))) or len(depths.messages) >= 3)
    statuses.wait_for(lambda m: int(m[-1][2].get("dropped, out_of_memory", 0)) > 0)
    assert "out of memory on cpu; the frame is dropped and the cache emptied" in node.log


def test_a_lost_device_takes_the_node_to_an_error_and_it_can_be_configured_again(start_node, peer):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    node = start_node(stand_in=True, model="lost=2")
    peer.become_camera()
    peer.send_until_seen(*_frame(), depths)
    stamps = iter(range(2, 10**6))
    peer.wait_until(
        lambda: peer.send(*_frame(next(stamps))) or any(m[0] == ERROR for m in statuses.messages)
    )
    _, message, values = statuses.messages[-1]
    assert message == "cannot continue: the device fell off the bus"
    assert values["state"] == "unconfigured"
    assert peer.state() == "unconfigured"
    assert "Traceback" not in node.log
    assert peer.transition("configure")
    assert peer.transition("activate")
    statuses.wait_for(lambda m: m[-1][0] != ERROR)


def test_depth_that_is_not_a_number_is_published_as_invalid(start_node, peer):
    depths, clouds = peer.listen("depth/image_rect", Image), peer.listen("points", PointCloud2)
    start_node(stand_in=True, model="nan=1")
    peer.become_camera()
    peer.send_until_seen(*_frame(), depths, clouds)
    assert np.isnan(np.frombuffer(depths.messages[0].data, np.float32)).all()
    points = np.frombuffer(clouds.messages[0].data, np.float32).reshape(-1, 4)
    assert np.isnan(points[:, :3]).all()


def test_the_stream_changes_size_and_camera_and_the_outputs_follow(start_node, peer):
    depths, infos = (
        peer.listen("depth/image_rect", Image),
        peer.listen("depth/camera_info", CameraInfo),
    )
    start_node(stand_in=True)
    peer.become_camera()
    peer.send_until_seen(*_frame(), depths, infos)
    peer.send(image(picture(80, 20), stamp=7), camera_info(80, 20, 7))
    depth = depths.wait_for(lambda m: m[-1].header.stamp.nanosec == 7)[-1]
    info = infos.wait_for(lambda m: m[-1].header.stamp.nanosec == 7)[-1]
    assert (depth.width, depth.height, info.width, info.height) == (80, 20, 80, 20)
    assert info.k[0] == pytest.approx(0.9 * 80)


@pytest.mark.parametrize("number", SIGNALS, ids=SIGNAL_NAMES)
@pytest.mark.parametrize("model", ["sleep=0.05", "sleep=30", "loadsleep=30"], ids=str)
def test_a_signal_ends_the_process_in_under_two_seconds_without_an_error(
    model, number, start_node, peer
):
    depths = peer.listen("depth/image_rect", Image)
    node = start_node(stand_in=True, model=model)
    if model == "sleep=0.05":
        peer.become_camera()
        peer.send_until_seen(*_frame(), depths)
    else:
        peer.wait_until(lambda: "loading" in node.log)
    assert node.interrupt(number, number) < 2  # twice, as from a terminal and from ros2 launch
    assert node.process.returncode == 0
    assert "rror" not in node.log
    assert "Traceback" not in node.log


@pytest.mark.parametrize("model", ["sleep=0", "loadsleep=30"])
def test_nothing_stays_in_shared_memory(model, start_node):
    node = start_node(stand_in=True, model=model)
    wait_until(lambda: ("state: active" if model == "sleep=0" else "loading") in node.log)
    segments = node.shared_memory()
    node.interrupt()
    assert segments or get_rmw_implementation_identifier() != "rmw_fastrtps_cpp"
    assert not [path for path in segments if path.exists()]


@pytest.mark.parametrize("name", ["deactivate", "shutdown"])
def test_a_signal_ends_a_transition_that_waits_for_a_frame(name, start_node, peer):
    node = start_node(stand_in=True, model="stuck=1")
    peer.listen("depth/image_rect", Image)
    peer.become_camera()
    peer.wait_until(lambda: peer.send(*_frame()) or "frame 1 is stuck" in node.log)
    peer.begin_transition(name)
    peer.wait_until(lambda: peer.node.count_subscribers("image") == 0)
    assert node.interrupt() < 2
    assert node.process.returncode == 0
    assert "rror" not in node.log


def test_silence_of_the_camera_is_named_once(start_node, peer):
    statuses = peer.diagnostics()
    node = start_node(stand_in=True)
    peer.listen("depth/image_rect", Image)
    statuses.wait_for(lambda m: m[-1][:2] == (WARN, "no image arrives"))
    count = len(statuses.messages)
    statuses.wait_for_count(count + 2)
    assert node.log.count("no image arrives on /image: nobody publishes it") == 1
