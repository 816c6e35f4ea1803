# SPDX-License-Identifier: Apache-2.0
"""A camera of 60 Hz on a model of 10 Hz; SHARPDEPTH_LOAD_SECONDS=60 -s for a minute in figures."""

import os
import statistics
import time

from sensor_msgs.msg import Image

from .conftest import camera_info, image, picture, set_stamp

SECONDS = float(os.environ.get("SHARPDEPTH_LOAD_SECONDS", "6"))
WORK = 0.1
W, H = 320, 240


def test_the_newest_frame_is_served_at_the_models_rate_and_nothing_grows(start_node, peer):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    node = start_node(stand_in=True, model=f"sleep={WORK}")
    peer.become_camera(qos=1)
    picture_message, info = image(picture(W, H)), camera_info(W, H)
    peer.send_until_seen(picture_message, info, depths)
    before = node.resident_mebibytes()

    begun = time.monotonic()
    sent = 0
    while time.monotonic() - begun < SECONDS:
        stamp = time.time_ns()
        set_stamp(picture_message, stamp)
        set_stamp(info, stamp)
        peer.send(picture_message, info)
        sent += 1
        time.sleep(max(begun + sent / 60 - time.monotonic(), 0))
    after = node.resident_mebibytes()

    pairs = zip(depths.messages, depths.times, strict=True)
    arrived = [(m, t) for m, t in pairs if m.header.stamp.sec > 0]
    offset = time.time() - time.monotonic()
    stamps = [m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m, _ in arrived]
    ages = [t + offset - s for s, (_, t) in zip(stamps, arrived, strict=True)]
    rate = len(arrived) / SECONDS
    p95 = sorted(ages)[int(len(ages) * 0.95)]
    values = statuses.messages[-1][2]
    print(
        f"\n{sent / SECONDS:.0f} Hz for {SECONDS:.0f} s into {1 / WORK:.0f} Hz: {rate:.1f} Hz out; "
        f"age at the subscriber: median {1e3 * statistics.median(ages):.0f} ms, 95 % "
        f"{1e3 * p95:.0f} ms, largest {1e3 * max(ages):.0f} ms; received "
        f"{values['images received']}, superseded {values['dropped, superseded']}; "
        f"memory {before:.0f} to {after:.0f} MiB"
    )
    assert stamps == sorted(stamps)
    assert rate > 0.7 / WORK
    assert statistics.median(ages) < 2 * WORK + 0.1
    assert int(values["dropped, superseded"]) > SECONDS * 20
    assert after - before < 40
