# SPDX-License-Identifier: Apache-2.0
"""Real processes on the real DDS: starts the node, and is its camera and its user."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2 (pip install .[ros])")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rcl_interfaces.msg import Parameter as ParameterMessage  # noqa: E402
from rcl_interfaces.msg import ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParametersAtomically  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

STAND_IN = Path(__file__).parent / "stand_in_node.py"
TIMEOUT = 60.0


@pytest.fixture
def domain() -> Iterator[int]:
    """A DDS domain for this test alone, also among other runs of the tests on this machine."""
    numbers = list(range(1, 102))  # the last with free ports on Linux
    random.SystemRandom().shuffle(numbers)
    for number in numbers:
        lock = FileLock(Path(tempfile.gettempdir()) / f"sharpdepth_test_domain_{number}.lock")
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            break
    else:
        raise RuntimeError("all DDS domains are in use by other runs of the tests")
    yield number
    lock.release()


class NodeProcess:
    """The node in a process of its own."""

    def __init__(self, command: list[str], domain: int, log: Path) -> None:
        environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"ROS_DOMAIN_ID": str(domain)}
        self._log = log
        self._output = log.open("wb")
        self.process = subprocess.Popen(
            command, env=environment, stdout=self._output, stderr=subprocess.STDOUT
        )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def resident_mebibytes(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def shared_memory(self) -> list[Path]:
        """The segments of Fast DDS that the process uses; ports are shared with other processes."""
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        return [
            Path(path) for path in set(re.findall(r"/dev/shm/fast(?:dds|rtps)_[0-9a-f]+", maps))
        ]

    def interrupt(self, *signals: int, timeout: float = TIMEOUT) -> float:
        """Sends signals, SIGINT by default. Returns the seconds until the process ended."""
        begun = time.monotonic()
        for number in signals or (signal.SIGINT,):
            self.process.send_signal(number)
            time.sleep(0.01)
        self.process.wait(timeout)
        return time.monotonic() - begun

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # a killed node leaves its shared memory behind
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._output.close()


@pytest.fixture
def peer_first(request: pytest.FixtureRequest) -> None:
    """For what starts processes: they end before the test's peer does, which see."""
    if "peer" in request.fixturenames:
        request.getfixturevalue("peer")


@pytest.fixture
def start_node(
    domain: int, tmp_path: Path, peer_first: None
) -> Iterator[Callable[..., NodeProcess]]:
    """Starts the node with the given parameters; `stand_in` gives it a model that tests control."""
    processes: list[NodeProcess] = []

    def start(*, stand_in: bool = False, ros_args: tuple[str, ...] = (), **parameters: object):
        command = [sys.executable]
        command += [str(STAND_IN)] if stand_in else ["-m", "sharpdepth_ros.node.main"]
        command += ["--ros-args", *ros_args]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ["-p", f"{name}:={text}"]
        process = NodeProcess(command, domain, tmp_path / f"node{len(processes)}.log")
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.close()


@pytest.fixture
def start_process(
    domain: int, tmp_path: Path, peer_first: None
) -> Iterator[Callable[..., NodeProcess]]:
    """Starts a Python program in the test's domain: its name, then its arguments."""
    processes: list[NodeProcess] = []

    def start(*arguments: str) -> NodeProcess:
        log = tmp_path / f"process{len(processes)}.log"
        processes.append(NodeProcess([sys.executable, *arguments], domain, log))
        return processes[-1]

    yield start
    for process in processes:
        process.close()


def wait_until(condition: Callable[[], bool], timeout: float = TIMEOUT) -> None:
    """For what tells only when asked: who is in the graph, what is in a log."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class Inbox:
    """Messages of one topic, and waiting for them."""

    def __init__(self) -> None:
        self.messages: list = []
        self.times: list[float] = []
        self._arrived = threading.Condition()

    def add(self, message: object) -> None:
        with self._arrived:
            self.messages.append(message)
            self.times.append(time.monotonic())
            self._arrived.notify_all()

    def wait_for(self, condition: Callable[[list], bool], timeout: float = TIMEOUT) -> list:
        """All messages, once the condition holds for them."""
        with self._arrived:
            held = self._arrived.wait_for(
                lambda: bool(self.messages) and condition(self.messages), timeout
            )
            assert held, f"waited {timeout} s; {len(self.messages)} messages came"
            return list(self.messages)

    def forget(self) -> None:
        """Drops what came, for tests that last long."""
        with self._arrived:
            self.messages.clear()
            self.times.clear()

    def wait_for_count(self, count: int, timeout: float = TIMEOUT) -> list:
        return self.wait_for(lambda messages: len(messages) >= count, timeout)


class Peer:
    """A camera and a user: a ROS node in the process of the test."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("peer", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()
        self._images = self._infos = None

    def _spin(self) -> None:
        while not self._closing.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        self._closing.set()
        self._executor.wake()
        self._thread.join()
        self._executor.shutdown()
        # Fast DDS 3.2 waits for ever, and rclpy with it, if an endpoint of another process
        # disappears while this participant is destroyed (sharpdepth_ros.node.shutdown.exit_after).
        deadline = time.monotonic() + 3.0  # one that was killed stays in the graph for longer
        while len(self.node.get_node_names()) > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        self.node.destroy_node()
        self.context.try_shutdown()

    def listen(self, topic: str, kind: type, reliable: bool = True) -> Inbox:
        inbox = Inbox()
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=10, reliability=policy)
        self.node.create_subscription(kind, topic, inbox.add, qos)
        return inbox

    def wait_until(self, condition: Callable[[], bool], timeout: float = TIMEOUT) -> None:
        wait_until(condition, timeout)

    def become_camera(
        self, image: str = "image", info: str = "camera_info", kind: type = Image, qos: object = 5
    ) -> None:
        """Advertises the topics and waits until the node has subscribed to them."""
        self._images = self.node.create_publisher(kind, image, qos)
        self._infos = self.node.create_publisher(CameraInfo, info, qos)
        self.wait_until(
            lambda: self._images.get_subscription_count() and self._infos.get_subscription_count()
        )

    def send(self, image: Image | None, info: CameraInfo | None) -> None:
        if info is not None:
            self._infos.publish(info)
        if image is not None:
            self._images.publish(image)

    def send_until_seen(self, image: Image, info: CameraInfo, *inboxes: Inbox) -> None:
        """Sends one frame again and again until each inbox has a message.

        Discovery is not symmetric: when the camera sees the node, the node may not see the camera,
        or the listeners, yet.
        """
        deadline = time.monotonic() + TIMEOUT
        while not all(inbox.messages for inbox in inboxes):
            assert time.monotonic() < deadline, "no answer to a frame"
            self.send(image, info)
            time.sleep(0.1)

    def call(self, kind: type, service: str, request: object, timeout: float = TIMEOUT) -> object:
        client = self.node.create_client(kind, service)
        assert client.wait_for_service(timeout), f"no service {service}"
        done = threading.Event()
        # Over the DDS an answer is lost if the service has not discovered this client yet. What
        # only reads is asked again.
        tries = 6 if kind.__name__.startswith(("Get", "Describe")) else 1
        for _ in range(tries):
            future = client.call_async(request)
            future.add_done_callback(lambda _: done.set())
            if done.wait(timeout / tries):
                break
        assert future.done(), f"{service} did not answer"
        self.node.destroy_client(client)
        return future.result()

    def state(self, timeout: float = TIMEOUT) -> str:
        answer = self.call(GetState, "sharpdepth/get_state", GetState.Request(), timeout)
        return answer.current_state.label

    def transition(self, name: str, timeout: float = TIMEOUT) -> bool:
        """Makes a transition, by its name: configure, activate, deactivate, cleanup, shutdown."""
        request = self._transition_request(name)
        return self.call(ChangeState, "sharpdepth/change_state", request, timeout).success

    def begin_transition(self, name: str) -> None:
        """Asks for a transition without waiting for it."""
        client = self.node.create_client(ChangeState, "sharpdepth/change_state")
        assert client.wait_for_service(TIMEOUT)
        client.call_async(self._transition_request(name))

    def _transition_request(self, name: str) -> ChangeState.Request:
        identifier = getattr(Transition, f"TRANSITION_{name.upper()}", None)
        if name == "shutdown":
            state = self.state()
            identifier = getattr(Transition, f"TRANSITION_{state.upper()}_SHUTDOWN")
        return ChangeState.Request(transition=Transition(id=identifier))

    def set_parameters(self, **values: object) -> tuple[bool, str]:
        """Sets parameters atomically. Whether that was accepted, and the reason if not."""
        request = SetParametersAtomically.Request(
            parameters=[
                ParameterMessage(name=name, value=parameter_value(value))
                for name, value in values.items()
            ]
        )
        name = "sharpdepth/set_parameters_atomically"
        result = self.call(SetParametersAtomically, name, request).result
        return result.successful, result.reason

    def diagnostics(self) -> Inbox:
        """The statuses of the node, each as (level, message, values)."""
        statuses = Inbox()

        def add(message: DiagnosticArray) -> None:
            for status in message.status:
                values = {item.key: item.value for item in status.values}
                statuses.add((status.level, status.message, values))

        self.node.create_subscription(DiagnosticArray, "/diagnostics", add, 10)
        return statuses


def parameter_value(value: object) -> ParameterValue:
    return Parameter("any", value=value).get_parameter_value()


@pytest.fixture
def peer(domain: int) -> Iterator[Peer]:
    peer = Peer(domain)
    yield peer
    peer.close()


def camera_info(width: int, height: int, stamp: int = 1, **fields: object) -> CameraInfo:
    """A calibrated camera without distortion; `stamp` in nanoseconds."""
    k = np.array([[0.9 * width, 0, width / 2 - 0.3], [0, 0.8 * width, height / 2 + 0.7], [0, 0, 1]])
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = k.ravel()
    info.r = np.eye(3).ravel()
    info.p = np.hstack((k, np.zeros((3, 1)))).ravel()
    set_stamp(info, stamp)
    for name, value in fields.items():
        setattr(info, name, value)
    return info


def image(pixels: np.ndarray, encoding: str = "rgb8", stamp: int = 1) -> Image:
    """An image message of an array [H, W, ...]; `stamp` in nanoseconds."""
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    message.step = pixels.nbytes // pixels.shape[0]
    message.data.frombytes(np.ascontiguousarray(pixels).tobytes())
    set_stamp(message, stamp)
    return message


def set_stamp(message: object, stamp: int) -> None:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    message.header.frame_id = "camera_optical_frame"


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with some texture, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (height // 16 + 2, width // 16 + 2, 3))
    fine = np.kron(coarse, np.ones((16, 16, 1)))[:height, :width]
    return (fine * 0.9 + rng.integers(0, 25, fine.shape)).astype(np.uint8)
