# SPDX-License-Identifier: Apache-2.0
"""The worker's promises: newest first, overlap, bounded age, and no fault that stops it."""

import itertools
import threading
import time

import pytest

from sharpdepth_ros.node.mailbox import Mailbox
from sharpdepth_ros.node.worker import (
    WAITING_FOR_FRAME,
    WAITING_FOR_TURN,
    WORKING,
    CannotContinue,
    FrameWorker,
)

TIMEOUT = 10.0


class Recorder:
    """A `Work` that does as it is told and remembers what happened."""

    def __init__(self, process=None, publish=None, load=None):
        self._process, self._publish, self._load = process, publish, load
        self.events = []
        self.published = Mailbox()
        self._changed = threading.Condition()

    def _note(self, *event):
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, *event):
        with self._changed:
            assert self._changed.wait_for(lambda: event in self.events, TIMEOUT), self.events

    def of(self, kind):
        return [event[1] for event in self.events if event[0] == kind]

    def load(self):
        if self._load:
            self._load()
        self._note("load", threading.current_thread().name)

    def process(self, frame):
        self._note("process", frame)
        return self._process(frame) if self._process else frame

    def publish(self, result):
        if self._publish:
            self._publish(result)
        self._note("publish", result)

    def failed(self, stage, error):
        self._note("failed", stage, str(error))

    def superseded(self, frame):
        self._note("superseded", frame)

    def lost(self, error):
        self._note("lost", str(error))

    def unload(self):
        self._note("unload", threading.current_thread().name)


@pytest.fixture
def started():
    workers = []

    def start(work, interval=0.0):
        worker = FrameWorker(work, lambda: interval)
        workers.append(worker)
        assert worker.wait_until_loaded(TIMEOUT)
        worker.resume()
        return worker

    yield start
    for worker in workers:
        assert worker.stop(TIMEOUT)


def test_of_the_frames_that_came_during_work_only_the_newest_is_taken(started):
    go = threading.Event()
    work = Recorder(process=lambda frame: go.wait(TIMEOUT) and frame)
    worker = started(work)
    worker.offer(0)
    work.wait_for("process", 0)
    for frame in (1, 2, 3):
        worker.offer(frame)
    go.set()
    work.wait_for("publish", 3)
    assert work.of("process") == [0, 3]
    assert work.of("superseded") == [1, 2]


def test_publishing_overlaps_with_the_next_frames_work(started):
    publishing, go = threading.Event(), threading.Event()

    def publish(result):
        publishing.set()
        assert go.wait(TIMEOUT)

    work = Recorder(publish=publish)
    worker = started(work)
    worker.offer(0)
    assert publishing.wait(TIMEOUT)
    worker.offer(1)
    work.wait_for("process", 1)  # while 0 is still being published
    assert work.of("publish") == []
    go.set()
    work.wait_for("publish", 1)


def test_a_slow_publisher_holds_the_worker_back_instead_of_growing_a_queue(started):
    go = threading.Semaphore(0)
    work = Recorder(publish=lambda result: go.acquire(timeout=TIMEOUT))
    worker = started(work)
    worker.offer(0)
    work.wait_for("process", 0)
    worker.offer(1)
    work.wait_for("process", 1)
    for frame in range(2, 9):  # 0 is being published, 1 waits: nothing more is begun
        worker.offer(frame)
    go.release()
    work.wait_for("publish", 0)
    work.wait_for("process", 8)
    assert work.of("process") == [0, 1, 8]
    go.release(2)
    work.wait_for("publish", 8)


def test_age_is_bounded_by_two_frames_work_under_a_fast_camera(started):
    work_time, publish_time = 0.04, 0.01
    ages = []

    def publish(received):
        time.sleep(publish_time)
        ages.append(time.monotonic() - received)

    work = Recorder(process=lambda frame: time.sleep(work_time) or frame, publish=publish)
    worker = started(work)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        worker.offer(time.monotonic())
        time.sleep(0.002)
    worker.pause()
    assert len(ages) > 10
    assert sorted(ages)[len(ages) // 2] < 2 * (work_time + publish_time)


def test_a_frame_that_fails_is_reported_and_the_next_is_taken(started):
    def process(frame):
        if frame == 1:
            raise RuntimeError("odd frame")
        return frame

    work = Recorder(process=process)
    worker = started(work)
    worker.offer(1)
    work.wait_for("failed", "process", "odd frame")
    worker.offer(2)
    work.wait_for("publish", 2)


def test_a_result_that_cannot_be_published_is_reported_and_the_next_is(started):
    def publish(result):
        if result == 1:
            raise RuntimeError("no room")

    work = Recorder(publish=publish)
    worker = started(work)
    worker.offer(1)
    work.wait_for("failed", "publish", "no room")
    worker.offer(2)
    work.wait_for("publish", 2)


def test_a_lost_device_ends_the_worker_and_says_so_after_unloading(started):
    def process(frame):
        raise CannotContinue("gone")

    work = Recorder(process=process)
    worker = started(work)
    worker.offer(1)
    work.wait_for("lost", "gone")
    assert [event[0] for event in work.events] == ["load", "process", "unload", "lost"]
    worker.pause()  # returns although the frame was never published


def test_pause_returns_when_the_frame_in_work_is_published_and_takes_no_more(started):
    go = threading.Event()
    work = Recorder(process=lambda frame: go.wait(TIMEOUT) and frame)
    worker = started(work)
    worker.offer(0)
    work.wait_for("process", 0)
    worker.offer(1)
    threading.Timer(0.05, go.set).start()
    worker.pause()
    assert work.of("publish") == [0]
    worker.offer(2)
    worker.resume()
    worker.offer(3)
    work.wait_for("publish", 3)
    assert work.of("process") == [0, 3]


def test_loading_processing_and_unloading_happen_on_one_thread():
    threads = []
    work = Recorder(process=lambda frame: threads.append(threading.current_thread().name) or frame)
    worker = FrameWorker(work, lambda: 0.0)
    worker.wait_until_loaded(TIMEOUT)
    worker.resume()
    worker.offer(1)
    work.wait_for("publish", 1)
    assert worker.stop(TIMEOUT)
    assert {*threads, *work.of("load"), *work.of("unload")} == {"sharpdepth-device"}


def test_an_error_while_loading_is_raised_to_who_waits():
    def load():
        raise ValueError("no weights")

    worker = FrameWorker(Recorder(load=load), lambda: 0.0)
    with pytest.raises(ValueError, match="no weights"):
        worker.wait_until_loaded(TIMEOUT)
    assert worker.stop(TIMEOUT)


def test_the_interval_limits_the_rate_and_still_takes_the_newest(started):
    work = Recorder()
    worker = started(work, interval=0.1)
    begun = time.monotonic()
    frame = 0
    while time.monotonic() - begun < 0.55:
        frame += 1
        worker.offer(frame)
        time.sleep(0.005)
    worker.pause()
    taken = work.of("process")
    assert 4 <= len(taken) <= 7
    assert all(b - a > 5 for a, b in itertools.pairwise(taken[1:]))


class Interval:
    """An interval that a test changes while the worker waits for it."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self):
        if isinstance(self.seconds, BaseException):
            raise self.seconds
        return self.seconds


@pytest.mark.parametrize("seconds", [50.0, 1e12, float("inf")])
def test_a_wait_for_the_next_frames_turn_is_ended_by_a_shorter_interval(started, seconds):
    interval, work = Interval(seconds), Recorder()
    worker = FrameWorker(work, interval)
    assert worker.wait_until_loaded(TIMEOUT)
    worker.resume()
    worker.offer(0)  # the first one does not wait
    work.wait_for("publish", 0)
    worker.offer(1)
    while worker.doing[0] != WAITING_FOR_TURN:
        time.sleep(0.001)
    interval.seconds = 0.0
    worker.interval_changed()
    work.wait_for("publish", 1)
    assert worker.stop(TIMEOUT)


def test_after_a_pause_the_first_frame_does_not_wait_and_a_stop_waits_for_no_turn(started):
    work = Recorder()
    worker = started(work, interval=1e12)
    for frame in range(2):
        worker.offer(frame)
        work.wait_for("publish", frame)
        worker.pause()
        worker.resume()


def _exit(_):
    raise SystemExit("a library wants to leave")


class Faulty(Recorder):
    """A work whose own report of a failure fails."""

    def failed(self, stage, error):
        raise KeyError(stage)


def _fail(_):
    raise ValueError("odd frame")


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (Recorder(process=_exit), "the device thread ended: SystemExit: a library wants to leave"),
        (
            Recorder(publish=_exit),
            "the publishing thread ended: SystemExit: a library wants to leave",
        ),
        (Faulty(process=_fail), "the device thread ended: KeyError: 'process'"),
        (Faulty(publish=_fail), "the publishing thread ended: KeyError: 'publish'"),
    ],
    ids=["exit in process", "exit in publish", "failed in process", "failed in publish"],
)
def test_whatever_ends_a_thread_is_told_after_both_have_ended(started, work, told):
    worker = started(work)
    worker.offer(1)
    work.wait_for("lost", told)
    assert worker.stop(TIMEOUT)
    assert [event[0] for event in work.events[-2:]] == ["unload", "lost"]


def test_an_interval_that_cannot_be_had_is_told():
    work = Recorder()
    worker = FrameWorker(work, Interval(ZeroDivisionError("no rate")))
    work.wait_for("lost", "the device thread ended: ZeroDivisionError: no rate")
    assert worker.stop(TIMEOUT)


def test_who_waits_for_the_models_hears_of_an_exit_too():
    worker = FrameWorker(Recorder(load=lambda: _exit(None)), lambda: 0.0)
    with pytest.raises(CannotContinue, match="SystemExit: a library wants to leave"):
        worker.wait_until_loaded(TIMEOUT)
    assert worker.stop(TIMEOUT)


def test_what_the_device_thread_does_and_for_how_long_is_known(started):
    go = threading.Event()
    work = Recorder(process=lambda frame: go.wait(TIMEOUT) and frame)
    worker = started(work)
    worker.offer(0)
    work.wait_for("process", 0)
    assert worker.doing[0] == WORKING
    go.set()
    work.wait_for("publish", 0)
    while worker.doing[0] != WAITING_FOR_FRAME:
        time.sleep(0.001)
    assert 0 <= worker.doing[1] < TIMEOUT
