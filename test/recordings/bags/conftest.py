# SPDX-License-Identifier: Apache-2.0
"""Bags as a robot records them, and a model whose answer is known."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from sharpdepth_ros.recordings.bags import rosbags_messages as messages

from .stand_in_command import StandIn

W, H = 48, 32
BEGIN = 1_700_000_000_000_000_000
STEP = 100_000_000
STRING = "std_msgs/msg/String"
_make_header = messages.maker("std_msgs/msg/Header")
_make_time = messages.maker("builtin_interfaces/msg/Time")


def header(stamp: int, frame: str = "camera_optical_frame"):
    seconds, nanoseconds = divmod(stamp, 10**9)
    return _make_header(stamp=_make_time(sec=seconds, nanosec=nanoseconds), frame_id=frame)


def picture(number: int, width: int = W, height: int = H) -> np.ndarray:
    """Blocks of colours that differ from number to number, uint8 [height, width, 3]."""
    coarse = np.random.default_rng(number).integers(0, 255, (height // 8 + 1, width // 8 + 1, 3))
    return np.kron(coarse, np.ones((8, 8, 1)))[:height, :width].astype(np.uint8)


def image(pixels: np.ndarray, stamp: int, encoding: str = "rgb8"):
    return messages.MESSAGES.image(
        header=header(stamp),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=pixels.nbytes // pixels.shape[0],
        data=np.frombuffer(np.ascontiguousarray(pixels).tobytes(), np.uint8),
    )


def jpeg(pixels: np.ndarray, stamp: int):
    data = cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes()
    make = messages.maker(messages.COMPRESSED_IMAGE)
    return make(header=header(stamp), format="jpeg", data=np.frombuffer(data, np.uint8))


def as_jpeg(pixels: np.ndarray) -> np.ndarray:
    """What is left of a picture in its JPEG message."""
    return cv2.imdecode(jpeg(pixels, 0).data, cv2.IMREAD_COLOR)[..., ::-1]


def camera_info(stamp: int, width: int = W, height: int = H, **fields):
    k = np.array([[0.9 * width, 0, width / 2], [0, 0.8 * width, height / 2], [0, 0, 1]])
    values = {
        "header": header(stamp),
        "height": height,
        "width": width,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": k.ravel(),
        "r": np.eye(3).ravel(),
        "p": np.hstack((k, np.zeros((3, 1)))).ravel(),
    }
    return messages.MESSAGES.camera_info(**(values | fields))


def text(words: str):
    return messages.maker(STRING)(data=words)


@dataclass
class Bag:
    """What a bag is to hold: (topic, type, recorded at, message or bytes), QoS by topic."""

    entries: list[tuple] = field(default_factory=list)
    qos: dict[str, list] = field(default_factory=dict)
    custom: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, topic: str, kind: str, at: int, message: object) -> None:
        self.entries.append((topic, kind, at, message))

    def add_frame(
        self,
        number: int,
        *,
        compressed=False,
        camera="/camera",
        stamp=None,
        info=True,
        pixels=None,
        **fields,
    ) -> None:
        """An image and its CameraInfo, recorded one and two microseconds after their stamp."""
        stamp = BEGIN + number * STEP if stamp is None else stamp
        at = BEGIN + number * STEP
        kind = messages.COMPRESSED_IMAGE if compressed else messages.IMAGE
        make = jpeg if compressed else image
        topic = f"{camera}/image_raw" + "/compressed" * compressed
        self.add(topic, kind, at + 1000, make(picture(number) if pixels is None else pixels, stamp))
        if info:
            message = camera_info(stamp, **fields)
            self.add(f"{camera}/camera_info", messages.CAMERA_INFO, at + 2000, message)

    def write(self, path: Path, storage: str, compression: str = "none") -> Path:
        writer = Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()])
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
        connections = {}
        with writer:
            for topic, kind, at, message in self.entries:
                if topic not in connections:
                    known = {"typestore": messages.TYPES}
                    if kind in self.custom:
                        known = dict(zip(("msgdef", "rihs01"), self.custom[kind], strict=True))
                    connections[topic] = writer.add_connection(
                        topic, kind, offered_qos_profiles=self.qos.get(topic, []), **known
                    )
                raw = message
                if not isinstance(message, bytes):
                    raw = messages.TYPES.serialize_cdr(message, kind)
                writer.write(connections[topic], at, raw)
        return path


@pytest.fixture
def recording():
    """A bag of six frames of one camera beside another topic."""
    bag = Bag(qos={"/camera/image_raw": [messages.NODE_QOS]})
    for number in range(6):
        bag.add_frame(number)
        bag.add("/chatter", STRING, BEGIN + number * STEP + 3000, text(f"word {number}"))
    return bag


def read(path: Path) -> list[tuple[str, int, bytes]]:
    """Topic, time of recording and bytes of every message, as rosbags gives them."""
    with Reader(path) as reader:
        return [(c.topic, stamp, bytes(data)) for c, stamp, data in reader.messages()]


def read_topic(path: Path, topic: str, kind: str) -> list:
    return [messages.TYPES.deserialize_cdr(d, kind) for name, _, d in read(path) if name == topic]


def stamp_of(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def digest(path: Path) -> str:
    """Of all files of a bag, with their names and times of change."""
    found = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        found.update(f"{file.name} {file.stat().st_mtime_ns}".encode())
        found.update(file.read_bytes() if file.is_file() else b"")
    return found.hexdigest()


@pytest.fixture
def stand_in(monkeypatch):
    """Has `sharpdepth bag` run with the stand-in."""
    pipeline = StandIn()
    monkeypatch.setattr("sharpdepth_ros.node.frame_handler.build_pipeline", lambda _: pipeline)
    return pipeline
