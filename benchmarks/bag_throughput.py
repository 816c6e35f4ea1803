# SPDX-License-Identifier: Apache-2.0
"""How much longer a bag takes than its model alone: reading, decoding, clouds and writing.

    python benchmarks/bag_throughput.py
    python benchmarks/bag_throughput.py --model-milliseconds 0,20,100 --width 640 --height 480

The model is one that waits: it takes its time as a GPU does, without the CPU. With 0 ms the whole
time is what `sharpdepth bag` adds; with more, what of that could not be hidden behind the model.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from machine import describe
from rosbags.rosbag2 import StoragePlugin, Writer

from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.recordings.bags import rosbags_messages as messages
from sharpdepth_ros.recordings.bags.cameras import choose_cameras
from sharpdepth_ros.recordings.bags.depth import OUTPUT_NAMES, DepthRun, add_depth
from sharpdepth_ros.recordings.bags.frames import Selection
from sharpdepth_ros.recordings.bags.reading import Bag
from sharpdepth_ros.recordings.bags.work_folder import BagForm


@dataclasses.dataclass(frozen=True)
class Output:
    depth: torch.Tensor
    metric_depth: torch.Tensor
    discrepancy: torch.Tensor
    aligned: bool = True
    timings: dict = dataclasses.field(default_factory=dict)


class WaitingModel:
    """A pipeline that takes its time and nothing else."""

    device = torch.device("cpu")

    def __init__(self, width: int, height: int, milliseconds: float) -> None:
        self._depth = torch.linspace(1, 9, width).repeat(height, 1)
        self._seconds = milliseconds / 1e3

    def __call__(self, rgb, intrinsics, **_) -> Output:
        time.sleep(self._seconds)
        return Output(self._depth, self._depth, self._depth / 9)


def write_bag(
    path: Path, storage: str, compressed: bool, frames: int, width: int, height: int
) -> Path:
    """A bag of one camera whose pictures are smooth colours with some noise."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (9, 16, 3), np.uint8)
    smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = cv2.add(smooth, rng.integers(0, 12, smooth.shape, np.uint8))
    k = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], float)
    kind = messages.COMPRESSED_IMAGE if compressed else messages.IMAGE
    if compressed:
        data = np.frombuffer(cv2.imencode(".jpg", picture)[1].tobytes(), np.uint8)
        image = messages.maker(kind)(format="jpeg", data=data)
    else:
        image = messages.MESSAGES.image(
            width=width, height=height, encoding="rgb8", step=3 * width, data=picture.ravel()
        )
    info = messages.MESSAGES.camera_info(
        width=width, height=height, k=k.ravel(), p=np.hstack((k, np.zeros((3, 1)))).ravel()
    )
    writer = Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()])
    with writer:
        topic = "/camera/image_raw" + "/compressed" * compressed
        images = writer.add_connection(topic, kind, typestore=messages.TYPES)
        infos = writer.add_connection(
            "/camera/camera_info", messages.CAMERA_INFO, typestore=messages.TYPES
        )
        for number in range(frames):
            for connection, message in ((images, image), (infos, info)):
                message.header.stamp.sec = number
                data = messages.TYPES.serialize_cdr(message, connection.msgtype)
                writer.write(connection, number * 10**9, data)
    return path


def milliseconds_per_frame(
    source: Path, target: Path, model: WaitingModel, frames: int
) -> tuple[float, float]:
    """From the first frame that is done to the finished bag, per frame: elapsed, and of CPU."""
    parameters = Parameters()
    outputs = [OUTPUT_NAMES[name] for name in ("depth", "camera_info", "points")]
    begun = []
    with Bag(source) as bag:
        run = DepthRun(
            choose_cameras(bag, parameters), parameters, outputs, Selection(), BagForm(bag.storage)
        )
        add_depth(
            bag,
            target,
            run,
            lambda _: model,
            on_frames=lambda done: begun.append((time.perf_counter(), time.process_time())),
        )
    # The first call is that of an empty earlier run, the second that of the first frame.
    ended = time.perf_counter(), time.process_time()
    elapsed, of_cpu = (
        (end - begin) * 1e3 / (frames - 1) for begin, end in zip(begun[1], ended, strict=True)
    )
    return elapsed, of_cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model-milliseconds", default="0,20,50", metavar="LIST")
    options = parser.parse_args()
    print(f"{describe()}\n")
    print(
        f"| {options.width}x{options.height}, depth + points | model ms | bag ms "
        "| ratio | fps | CPU ms |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for storage in ("sqlite3", "mcap"):
        for compressed in (False, True):
            for model_time in map(float, options.model_milliseconds.split(",")):
                with tempfile.TemporaryDirectory() as folder:
                    place = Path(folder)
                    size = options.width, options.height
                    source = write_bag(place / "in", storage, compressed, options.frames, *size)
                    model = WaitingModel(*size, model_time)
                    times = [
                        milliseconds_per_frame(source, place / f"out{n}", model, options.frames)
                        for n in range(options.repeats)
                    ]
                    taken, of_cpu = map(statistics.median, zip(*times, strict=True))
                kind = f"{storage}, {'jpeg' if compressed else 'raw'}"
                ratio = f"{taken / model_time:.2f}" if model_time else "-"
                speed = f"{1e3 / taken:.1f} | {of_cpu:.1f}"
                print(f"| {kind} | {model_time:g} | {taken:.1f} | {ratio} | {speed} |", flush=True)


if __name__ == "__main__":
    main()
