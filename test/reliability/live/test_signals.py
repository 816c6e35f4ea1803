# SPDX-License-Identifier: Apache-2.0
"""SIGINT, SIGTERM and SIGKILL in each state and transition; after a kill the next node works.

What test/node/test_lifecycle.py interrupts (active, a frame in work, configuring, deactivating,
finalized) is not interrupted here again.
"""

import signal
import time
from collections.abc import Callable

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter
from rcl_interfaces.srv import SetParametersAtomically
from sensor_msgs.msg import Image

from ...node.conftest import camera_info, image, parameter_value, picture

W, H = 64, 48
SLOW = "loadsleep=30"


class Driver:
    """Brings a node to a state, and asks until it is there.

    A node that was killed stays in the graph for a while, so that a service may seem to be there
    before the new one is, and a request is lost.
    """

    def __init__(self, node, peer) -> None:
        self.node, self.peer = node, peer

    def make(self, transition: str, done: str | Callable[[], bool]) -> None:
        """Makes a transition; returns when it is where it should be.

        Args:
            transition: its name.
            done: tells so; or words that come once more in the node's log then.
        """
        if isinstance(done, str):
            words, seen = done, self.node.log.count(done)
            done = lambda: self.node.log.count(words) > seen  # noqa: E731
        identifier = getattr(Transition, f"TRANSITION_{transition.upper()}")
        request = ChangeState.Request(transition=Transition(id=identifier))
        self._ask(ChangeState, "sharpdepth/change_state", request, lambda _: done())

    def set_model(self, model: str) -> None:
        values = [Parameter(name="model", value=parameter_value(model))]
        request = SetParametersAtomically.Request(parameters=values)
        service = "sharpdepth/set_parameters_atomically"
        self._ask(SetParametersAtomically, service, request, lambda answers: any(answers))

    def _ask(self, kind, service, request, done: Callable[[list[bool]], bool]) -> None:
        """Asks every other second until it is done; that gets, of each answer, whether it came."""
        client = self.peer.node.create_client(kind, service)
        futures, asked = [], 0.0

        def is_done() -> bool:
            nonlocal asked
            if done([future.done() for future in futures]):
                return True
            if time.monotonic() - asked > 2:
                futures.append(client.call_async(request))
                asked = time.monotonic()
            return False

        self.peer.wait_until(is_done)
        self.peer.node.destroy_client(client)


def unconfigured(driver):
    driver.peer.wait_until(lambda: driver.peer.state() == "unconfigured")


def configuring(driver):
    driver.make("configure", "loading")


def inactive(driver):
    driver.make("configure", "state: inactive")


def activating(driver):
    """Activation loads again when a parameter has changed that needs it."""
    inactive(driver)
    driver.set_model(SLOW)
    driver.make("activate", "loading")


def active(driver):
    inactive(driver)
    driver.make("activate", "state: active")


def deactivating(driver):
    """Waits for the frame in work."""
    active(driver)
    peer = driver.peer
    peer.become_camera()
    frame = image(picture(W, H)), camera_info(W, H)
    peer.wait_until(lambda: peer.send(*frame) or "is stuck" in driver.node.log)
    driver.make("deactivate", lambda: peer.node.count_subscribers("image") == 0)


def cleaning_up(driver):
    inactive(driver)
    driver.make("cleanup", "being unloaded")


def shutting_down(driver):
    inactive(driver)
    driver.make("inactive_shutdown", "being unloaded")


def finalized(driver):
    driver.make("unconfigured_shutdown", "state: finalized")


MODELS = {
    configuring: SLOW,
    deactivating: "stuck=1",
    cleaning_up: "unloadsleep=30",
    shutting_down: "unloadsleep=30",
}


STATES = [unconfigured, inactive, activating, cleaning_up, shutting_down]
ENDINGS = [(state, number) for state in STATES for number in (signal.SIGINT, signal.SIGTERM)]


def _name(value: object) -> str:
    return getattr(value, "__name__", None) or value.name


@pytest.mark.parametrize(
    ("state", "number"),
    # One signal for each state is quick.
    [pytest.param(*e, marks=[pytest.mark.long] * (i % 4 in (1, 2))) for i, e in enumerate(ENDINGS)],
    ids=_name,
)
def test_a_signal_ends_the_node_orderly_wherever_it_is(state, number, start_node, peer, record):
    node = start_node(stand_in=True, autostart=False, model=MODELS.get(state, "sleep=0"))
    state(Driver(node, peer))
    seconds = node.interrupt(number)
    assert node.process.returncode == 0
    assert "rror" not in node.log
    assert "Traceback" not in node.log
    record(
        f"{signal.Signals(number).name} while {state.__name__.replace('_', ' ')}",
        "1",
        f"ended with status 0 after {seconds:.1f} s",
    )


EVERYWHERE = [unconfigured, configuring, inactive, activating, active, deactivating, cleaning_up]
EVERYWHERE += [shutting_down, finalized]


@pytest.mark.parametrize(
    "states",
    [
        pytest.param([configuring, deactivating], id="quick"),
        pytest.param(EVERYWHERE, id="long", marks=pytest.mark.long),
    ],
)
def test_after_a_kill_in_any_state_the_next_node_works(states, start_node, peer, record):
    """One node after the other in one domain, each killed in another state."""
    depths = peer.listen("depth/image_rect", Image)
    for state in states:
        node = start_node(stand_in=True, autostart=False, model=MODELS.get(state, "sleep=0"))
        state(Driver(node, peer))
        assert node.process.poll() is None
        node.process.kill()
        node.process.wait()
        assert "Traceback" not in node.log
    node = start_node(stand_in=True)
    peer.wait_until(lambda: "state: active" in node.log)
    peer.become_camera()
    peer.send_until_seen(image(picture(W, H)), camera_info(W, H), depths)
    assert "Traceback" not in node.log
    record(
        "SIGKILL while " + ", ".join(state.__name__.replace("_", " ") for state in states),
        "once in each, one node after the other in one domain",
        "each next node starts and gets where it is brought; the last one publishes depth",
    )
