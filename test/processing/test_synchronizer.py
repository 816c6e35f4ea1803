# SPDX-License-Identifier: Apache-2.0
"""Pairs of image and CameraInfo; our synchronisers, and message_filters' where they exist."""

import pytest
from sensor_msgs.msg import CameraInfo, Image

from sharpdepth_ros.processing.synchronizer import make_synchroniser

from ..node.conftest import set_stamp

MS = 1_000_000


@pytest.fixture(params=["sharpdepth_ros.messages.time_synchronizers", "message_filters"])
def filters(request):
    return pytest.importorskip(request.param, reason="needs ROS: message_filters has no wheel")


class Stream:
    """A synchroniser and what came out of it, by stamps in milliseconds."""

    def __init__(self, policy, *filters, slop=0.02):
        self.pairs, self.unpaired = [], 0
        self._synchroniser = make_synchroniser(policy, slop, self._frame, self._lost, *filters)

    def _frame(self, frame):
        stamps = (frame.image.header.stamp, frame.info.header.stamp)
        self.pairs.append(tuple(s.sec * 1000 + s.nanosec // MS for s in stamps))

    def _lost(self):
        self.unpaired += 1

    def image(self, *stamps):
        for stamp in stamps:
            message = Image()
            set_stamp(message, stamp * MS)
            self._synchroniser.add_image(message)

    def info(self, *stamps):
        for stamp in stamps:
            message = CameraInfo()
            set_stamp(message, stamp * MS)
            self._synchroniser.add_info(message)


class TestByStamps:
    @pytest.mark.parametrize("policy", ["exact", "approximate"])
    def test_equal_stamps_pair_in_either_order(self, policy, filters):
        stream = Stream(policy, filters)
        stream.image(100)
        stream.info(100, 200)
        stream.image(200)
        assert stream.pairs == [(100, 100), (200, 200)]

    def test_exact_does_not_pair_near_stamps(self, filters):
        stream = Stream("exact", filters)
        stream.image(100)
        stream.info(101)
        assert stream.pairs == []

    def test_approximate_pairs_within_the_slop_and_not_beyond(self, filters):
        stream = Stream("approximate", filters, slop=0.02)
        stream.image(1000)
        stream.info(1030)
        assert stream.pairs == []
        stream.info(1011)
        assert stream.pairs == [(1000, 1011)]

    def test_approximate_takes_the_nearest(self, filters):
        stream = Stream("approximate", filters, slop=0.05)
        stream.info(1000, 1030)
        stream.image(1025)
        assert stream.pairs == [(1025, 1030)]

    def test_a_message_is_used_once(self, filters):
        stream = Stream("approximate", filters, slop=0.05)
        stream.image(1000)
        stream.info(1001, 1002)
        assert stream.pairs == [(1000, 1001)]

    def test_an_image_whose_info_was_lost_is_given_up_and_the_next_is_paired(self, filters):
        stream = Stream("exact", filters)
        for stamp in range(100, 2100, 100):
            stream.image(stamp)
            if stamp != 500:
                stream.info(stamp)
        assert len(stream.pairs) == 19
        assert (500, 500) not in stream.pairs

    def test_images_without_info_are_counted_when_they_are_given_up(self, filters):
        stream = Stream("exact", filters)
        stream.image(*range(100, 2100, 100))
        assert stream.pairs == []
        assert stream.unpaired == 12  # eight still wait

    @pytest.mark.parametrize("policy", ["exact", "approximate"])
    def test_a_recording_that_begins_again_is_paired_again(self, policy, filters):
        stream = Stream(policy, filters)
        stream.image(*range(10_000, 12_000, 100))  # these wait in vain
        for _ in range(2):
            stream.image(1000)
            stream.info(1000)
            stream.info(*range(20_000, 22_000, 100))
            stream.image(20_000, 21_900)
        # The camera_info of 20_000 is one of too many; the second time its image waits already.
        first = [(1000, 1000), (21_900, 21_900)]
        assert stream.pairs == [*first, (1000, 1000), (20_000, 20_000), (21_900, 21_900)]

    @pytest.mark.parametrize("policy", ["exact", "approximate"])
    def test_a_camera_info_that_came_before_the_jump_of_the_images_is_kept(self, policy, filters):
        stream = Stream(policy, filters)
        stream.image(2_000_000)  # from the future, without camera_info
        stream.info(5000)
        stream.image(5000)
        assert stream.pairs == [(5000, 5000)]

    @pytest.mark.parametrize("policy", ["exact", "approximate"])
    @pytest.mark.parametrize("stray", [0, 2_000_000])
    def test_a_stray_stamp_between_the_halves_of_a_frame_does_not_part_them(
        self, stray, policy, filters
    ):
        stream = Stream(policy, filters)
        stream.info(5000)
        stream.image(stray)
        stream.image(5000, 5100)
        stream.info(stray + 50)
        stream.info(5100)
        assert stream.pairs == [(5000, 5000), (5100, 5100)]
        assert stream.unpaired == 0

    @pytest.mark.parametrize("policy", ["exact", "approximate"])
    def test_camera_infos_from_the_future_do_not_stop_the_pairing(self, policy, filters):
        stream = Stream(policy, filters)
        stream.image(5000)
        stream.info(*range(2_000_000, 2_002_000, 100))
        stream.info(5000, 5100)
        stream.image(5100)
        assert stream.pairs == [(5000, 5000), (5100, 5100)]
        assert stream.unpaired == 0

    def test_a_stream_that_begins_before_the_jump_of_its_clock_goes_on(self, filters):
        stream = Stream("exact", filters)
        for begin in (3_600_000, 0, 3_600_000):
            for stamp in range(begin, begin + 500, 100):
                stream.info(stamp, stamp + 50)  # more camera_infos than images
                stream.image(stamp)
        assert len(stream.pairs) == 15


def test_latest_takes_the_info_there_is_whatever_its_stamp():
    stream = Stream("latest")
    stream.image(100)
    assert (stream.pairs, stream.unpaired) == ([], 1)
    stream.info(5)
    stream.image(200, 300)
    stream.info(250)
    stream.image(400)
    assert stream.pairs == [(200, 5), (300, 5), (400, 250)]
