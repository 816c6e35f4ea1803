# SPDX-License-Identifier: Apache-2.0
"""How long a 1280x720 image and cloud take to another process, with and without our DDS profile.

    python benchmarks/message_latency.py

The profile is config/fastdds_large_messages.xml. Latency is from before publishing to the
subscriber's callback, median over the messages that came.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2

PROFILE = Path(__file__).parents[1] / "config/fastdds_large_messages.xml"
WIDTH, HEIGHT = 1280, 720
#: name -> (type, bytes per pixel, reliability of the subscriber)
MESSAGES = {
    "image rgb8": (Image, 3, ReliabilityPolicy.BEST_EFFORT),
    "cloud xyzrgb": (PointCloud2, 16, ReliabilityPolicy.RELIABLE),
}


def publish(name: str, count: int, period: float) -> None:
    """Publishes stamped messages as soon as somebody listens."""
    kind, pixel, _ = MESSAGES[name]
    rclpy.init()
    node = rclpy.create_node("message_latency_publisher")
    publisher = node.create_publisher(kind, "message_latency", QoSProfile(depth=1))
    message = kind(height=HEIGHT, width=WIDTH)
    message.data.frombytes(bytes(WIDTH * HEIGHT * pixel))
    while publisher.get_subscription_count() == 0:
        time.sleep(0.05)
    for _ in range(count):
        time.sleep(period)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
        publisher.publish(message)
    time.sleep(1.0)  # for the last to arrive
    rclpy.shutdown()


def measure(
    name: str, count: int, period: float, profile_there: bool, profile_here: bool
) -> list[float]:
    """Latencies in milliseconds of messages from a publisher in another process."""
    there, here = dict(os.environ), dict(os.environ)
    for environment, with_profile in ((there, profile_there), (here, profile_here)):
        environment.pop("FASTDDS_DEFAULT_PROFILES_FILE", None)
        if with_profile:
            environment["FASTDDS_DEFAULT_PROFILES_FILE"] = str(PROFILE)
    options = ["--count", str(count), "--period", str(period)]
    command = [sys.executable, __file__, *options]
    sender = subprocess.Popen([*command, "--publish", name], env=there)
    receiver = subprocess.Popen(
        [*command, "--receive", name], env=here, stdout=subprocess.PIPE, text=True
    )
    sender.wait()
    output, _ = receiver.communicate()
    return [float(line) for line in output.split()]


def receive(name: str, seconds: float) -> None:
    """Prints the latency of each message in milliseconds until none comes for some seconds."""
    kind, _, reliability = MESSAGES[name]
    rclpy.init()
    node = rclpy.create_node("message_latency_subscriber")
    last = time.monotonic() + 10.0  # discovery

    def arrived(message: Image | PointCloud2) -> None:
        nonlocal last
        stamp = message.header.stamp
        print((time.time_ns() - stamp.sec * 10**9 - stamp.nanosec) * 1e-6)
        last = time.monotonic()

    node.create_subscription(
        kind, "message_latency", arrived, QoSProfile(depth=1, reliability=reliability)
    )
    while time.monotonic() < last + seconds:
        rclpy.spin_once(node, timeout_sec=0.2)
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
    print(f"{WIDTH}x{HEIGHT}, {rclpy.get_rmw_implementation_identifier()}, milliseconds\n")
    print("| message | profile on | median | 90 % | arrived |\n| --- | --- | ---: | ---: | ---: |")
    for name in MESSAGES:
        for there, here in ((False, False), (True, False), (True, True)):
            times = measure(name, options.count, options.period, there, here)
            label = "both sides" if here else "publisher" if there else "neither"
            median = f"{statistics.median(times):.1f}" if times else "-"
            late = f"{sorted(times)[int(len(times) * 0.9)]:.1f}" if times else "-"
            print(f"| {name} | {label} | {median} | {late} | {len(times)} of {options.count} |")


if __name__ == "__main__":
    main()
