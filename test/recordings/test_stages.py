# SPDX-License-Identifier: Apache-2.0
"""Reading ahead, batches of one size, writing behind: every job is over once, whatever fails."""

import threading

import numpy as np
import pytest

from sharpdepth_ros.recordings.prefetch import Picture, batches_of, run_jobs


def _picture(number, size=(4, 6)):
    rgb = np.zeros((*size, 3), np.uint8)
    rgb[..., 0] = rgb[0, 0, 2] = number
    return Picture(rgb)


def _run(jobs, infer, write=lambda *_: None, read=_picture, **options):
    return list(run_jobs(jobs, read, infer, write, **options))


def test_every_job_is_read_inferred_and_written_once(known_depth):
    written = {}
    done = _run(
        range(50),
        known_depth,
        lambda job, picture, out: written.setdefault(job, (picture.rgb, out.depth)),
        workers=3,
        batch=4,
    )
    assert sorted(d.job for d in done) == list(range(50))
    assert all(d.error is None for d in done)
    for job, (rgb, depth) in written.items():
        np.testing.assert_array_equal(rgb, _picture(job).rgb)
        assert depth[0, 0] == pytest.approx(1 + job / 100)
    assert sum(n for n, _ in known_depth.batches) == 50
    assert [n for n, _ in known_depth.batches[:12]] == [4] * 12


def test_images_of_one_size_share_a_batch_though_others_lie_between(known_depth):
    sizes = {n: (4, 6) if n % 2 else (8, 6) for n in range(12)}
    _run(range(12), known_depth, read=lambda n: _picture(n, sizes[n]), batch=3)
    assert sorted(known_depth.batches) == [(3, (4, 6, 3))] * 2 + [(3, (8, 6, 3))] * 2


def test_many_sizes_do_not_pile_up(known_depth):
    most = []

    def read(n):
        most.append(n - len(known_depth.batches))
        return _picture(n, (4 + n, 6))

    _run(range(60), known_depth, read=read, batch=2, workers=1)
    assert max(most) < 16


def test_frames_of_a_video_stay_in_order_when_the_size_changes(known_depth):
    done = _run(
        range(20),
        known_depth,
        read=lambda n: _picture(n, (4, 6) if n < 9 else (8, 6)),
        batch=4,
        in_order=True,
    )
    assert [d.job for d in done] == list(range(20))


def test_one_bad_image_of_a_batch_fails_alone(known_depth):
    known_depth.refuse = 5
    done = {d.job: d for d in _run(range(8), known_depth, batch=4)}
    assert [n for n, d in done.items() if d.error is not None] == [5]
    assert "too much" in str(done[5].error)


def test_what_cannot_be_read_or_written_is_told_and_the_others_are_done(known_depth):
    def read(n):
        if n == 2:
            raise ValueError("not a picture")
        return _picture(n)

    def write(job, picture, out):
        if job == 4:
            raise OSError("the disk is full")

    done = {d.job: d.error for d in _run(range(6), known_depth, write, read)}
    assert {n: str(e) for n, e in done.items() if e} == {2: "not a picture", 4: "the disk is full"}


def test_reading_and_writing_happen_beside_the_model(known_depth):
    names = set()

    def write(job, picture, out):
        names.add(threading.current_thread().name)

    _run(range(4), known_depth, write)
    assert names
    assert threading.current_thread().name not in names


def test_a_pipeline_with_batches_is_asked_for_them_and_another_one_by_one():
    class OneByOne:
        def __call__(self, rgb, camera, *, mode):
            return rgb.sum(), camera, mode

    class AtOnce(OneByOne):
        def batch(self, images, cameras, *, mode):
            return ["batch", len(images), mode]

    images, cameras = [np.ones(3), np.ones(4)], [None, 7]
    assert batches_of(OneByOne(), mode="metric")(images, cameras) == [
        (3, None, "metric"),
        (4, 7, "metric"),
    ]
    assert batches_of(AtOnce(), mode="metric")(images, cameras) == ["batch", 2, "metric"]
