# SPDX-License-Identifier: Apache-2.0
"""How long a 1280x720 image and cloud take to another process, with and without our DDS profile.

    python benchmarks/message_latency.py

The profile is config/fastdds_large_messages.xml. Latency is from before publishing to the
subscriber's callback, median over the messages that came. A "serialised" message reaches the
callback as bytes, before it becomes a Python object. "memory kept" is a subscriber with KEEP_MEMORY
in its environment: otherwise it gets the memory for each message from the system anew, page by
page. Processor time is that of both processes, all threads, per message that came: a busy machine
changes it less than the latency.
"""

import argparse
import os
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

import rclpy
from machine import describe
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2

PROFILE = Path(__file__).parents[1] / "config/fastdds_large_messages.xml"
WIDTH, HEIGHT = 1280, 720
#: name -> (type, bytes per pixel, reliability of the subscriber, whether it takes bytes)
MESSAGES = {
    "image rgb8": (Image, 3, ReliabilityPolicy.BEST_EFFORT, False),
    "cloud xyzrgb": (PointCloud2, 16, ReliabilityPolicy.RELIABLE, False),
    "cloud xyzrgb, serialised": (PointCloud2, 16, ReliabilityPolicy.RELIABLE, True),
}
#: Environment in which glibc does not give memory back to the system after each message.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "536870912", "MALLOC_MMAP_THRESHOLD_": "33554432"}
#: name -> (profile at the publisher, profile at the subscriber, memory kept at the subscriber)
SETTINGS = {
    "neither": (False, False, False),
    "neither, memory kept": (False, False, True),
    "publisher": (True, False, False),
    "both sides": (True, True, False),
    "both sides, memory kept": (True, True, True),
}


def publish(name: str, count: int, period: float) -> None:
    """Publishes stamped messages as soon as somebody listens."""
    kind, pixel, _, _ = MESSAGES[name]
    rclpy.init()
    node = rclpy.create_node("message_latency_publisher")
    publisher = node.create_publisher(kind, "message_latency", QoSProfile(depth=1))
    message = kind(height=HEIGHT, width=WIDTH)
    message.data.frombytes(bytes(WIDTH * HEIGHT * pixel))
    while publisher.get_subscription_count() == 0:
        time.sleep(0.05)
    begun = time.process_time()
    for _ in range(count):
        time.sleep(period)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
        publisher.publish(message)
    time.sleep(1.0)  # for the last to arrive
    print((time.process_time() - begun) * 1e3)
    rclpy.shutdown()


def measure(name: str, setting: str, count: int, period: float) -> tuple[list[float], float]:
    """Latencies of the messages between two processes, and their processor time; milliseconds."""
    profile_there, profile_here, keep_memory = SETTINGS[setting]
    there, here = dict(os.environ), dict(os.environ)
    for environment, with_profile in ((there, profile_there), (here, profile_here)):
        environment.pop("FASTDDS_DEFAULT_PROFILES_FILE", None)
        if with_profile:
            environment["FASTDDS_DEFAULT_PROFILES_FILE"] = str(PROFILE)
    if keep_memory:
        here |= KEEP_MEMORY
    command = [sys.executable, __file__, "--count", str(count), "--period", str(period)]
    sender, receiver = (
        subprocess.Popen([*command, role, name], env=env, stdout=subprocess.PIPE, text=True)
        for role, env in (("--publish", there), ("--receive", here))
    )
    sent, received = sender.communicate()[0], receiver.communicate()[0]
    *times, on_cores = [float(line) for line in received.split()]
    return times, float(sent) + on_cores


def receive(name: str, seconds: float) -> None:
    """Prints the latency of each message until none comes for some seconds, and processor time."""
    kind, _, reliability, as_bytes = MESSAGES[name]
    rclpy.init()
    node = rclpy.create_node("message_latency_subscriber")
    last = time.monotonic() + 10.0  # discovery
    begun = time.process_time()

    def arrived(message: Image | PointCloud2 | bytes) -> None:
        nonlocal last
        now = time.time_ns()
        if as_bytes:  # after the four bytes of the encapsulation the stamp comes first
            seconds, nanoseconds = struct.unpack_from("<iI", message, 4)
        else:
            seconds, nanoseconds = message.header.stamp.sec, message.header.stamp.nanosec
        print((now - seconds * 10**9 - nanoseconds) * 1e-6)
        last = time.monotonic()

    qos = QoSProfile(depth=1, reliability=reliability)
    node.create_subscription(kind, "message_latency", arrived, qos, raw=as_bytes)
    while time.monotonic() < last + seconds:
        rclpy.spin_once(node, timeout_sec=0.2)
    print((time.process_time() - begun) * 1e3)
    rclpy.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40, help="messages of each kind")
    parser.add_argument("--period", type=float, default=0.2, help="seconds between them")
    parser.add_argument("--publish", choices=MESSAGES, help=argparse.SUPPRESS)
    parser.add_argument("--receive", choices=MESSAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.publish:
        publish(options.publish, options.count, options.period)
        return
    if options.receive:
        receive(options.receive, 3.0)
        return
    rmw = rclpy.get_rmw_implementation_identifier()
    print(f"{WIDTH}x{HEIGHT}, milliseconds; {describe()}; RMW {rmw}\n")
    print("| message | profile on | median | 90 % | arrived | processor time |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in MESSAGES:
        for setting in SETTINGS:
            times, on_cores = measure(name, setting, options.count, options.period)
            row = "- | - | 0 | -"
            if times:
                late = sorted(times)[int(len(times) * 0.9)]
                row = f"{statistics.median(times):.1f} | {late:.1f} | {len(times)}"
                row += f" | {on_cores / len(times):.1f}"
            print(f"| {name} | {setting} | {row} |", flush=True)


if __name__ == "__main__":
    main()
