# SPDX-License-Identifier: Apache-2.0
"""Relations between answers of the real pipeline, with the demo weights, where no truth is needed.

A change of the image or the camera whose effect on the depth is known: mirrored, scaled, cropped,
padded, brighter. Networks keep these relations as well as they were trained, so each has a bound:
twice the worst that was measured on 24 other rooms (docs/reliability.md).
"""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.synthetic import SampleOptions, render_sample

W, H = 320, 240
FRAMES = 2

WORST = {
    "mirror": ((0.132, 0.214), (0.058, 0.257)),
    "focal length": ((0.099, 0.206), (0.081, 0.252)),
    "twice the pixels": ((0.0025, 0.0037), (0.0023, 0.0046)),
    "crop": ((0.103, 0.213), (0.124, 0.391)),
    "border": ((0.068, 0.184), (0.098, 0.319)),
    "brightness": ((0.134, 0.244), (0.041, 0.229)),
}
"""Relative differences of the depth, then of the metric model's, measured: the worst median of a
frame, and the worst of what 95 % of its pixels stay below."""


@pytest.fixture(scope="module")
def pipe():
    return SharpDepthPipeline.from_pretrained(
        "demo", metric_model="demo", device="cpu", precision="fp32"
    )


@pytest.fixture(scope="module", params=range(FRAMES))
def view(request, pipe):
    """A picture of a room, its camera, and the pipeline's answer."""
    options = SampleOptions(seed=53, width=W, height=H, kind="room", views_per_scene=1)
    frame = render_sample(options, request.param).frame
    rgb, camera = np.ascontiguousarray(frame.rgb), np.array(frame.intrinsics, dtype=np.float64)
    return rgb, camera, pipe(rgb, camera)


def moved(camera, right, down):
    """The camera of an image whose corner lies that many pixels to the left and above."""
    camera = camera.copy()
    camera[:2, 2] += right, down
    return camera


def assert_close(change, again, out, moved_back=lambda depth: depth):
    """The maps of one answer, moved back, are those of the other within the change's bounds."""
    pairs = ((again.depth, out.depth), (again.metric_depth, out.metric_depth))
    for (depth, wanted), (median, most) in zip(pairs, WORST[change], strict=True):
        error = np.abs(moved_back(depth) - wanted) / wanted
        assert np.median(error) < 2 * median
        assert np.quantile(error, 0.95) < 2 * most


def test_a_mirrored_image_gives_mirrored_depth(pipe, view):
    rgb, camera, out = view
    mirrored = camera.copy()
    mirrored[0, 2] = W - 1 - camera[0, 2]
    again = pipe(np.ascontiguousarray(rgb[:, ::-1]), mirrored)
    assert_close("mirror", again, out, lambda depth: depth[:, ::-1])


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_longer_lens_that_sees_the_same_picture_is_farther_away(factor, pipe, view):
    rgb, camera, out = view
    longer = camera.copy()
    longer[0, 0] *= factor
    longer[1, 1] *= factor
    again = pipe(rgb, longer)
    assert_close("focal length", again, out, lambda depth: depth / factor)


def test_twice_the_pixels_of_the_same_view_give_the_same_metres(pipe, view):
    rgb, camera, out = view
    larger = camera.copy()
    larger[:2] *= 2
    larger[:2, 2] += 0.5  # centres of pixels are at whole numbers
    again = pipe(cv2.resize(rgb, (2 * W, 2 * H), interpolation=cv2.INTER_CUBIC), larger)
    assert_close(
        "twice the pixels",
        again,
        out,
        lambda depth: cv2.resize(depth, (W, H), interpolation=cv2.INTER_AREA),
    )


def test_a_part_of_the_image_has_the_depth_that_it_has_in_the_whole(pipe, view):
    rgb, camera, out = view
    c = 16
    again = pipe(np.ascontiguousarray(rgb[c:-c, c:-c]), moved(camera, -c, -c))
    inner = SimpleNamespace(depth=out.depth[c:-c, c:-c], metric_depth=out.metric_depth[c:-c, c:-c])
    assert_close("crop", again, inner)


def test_a_border_around_the_image_changes_little_within(pipe, view):
    rgb, camera, out = view
    p = 8
    padded = cv2.copyMakeBorder(rgb, p, p, p, p, cv2.BORDER_REPLICATE)
    again = pipe(padded, moved(camera, p, p))
    assert_close("border", again, out, lambda depth: depth[p:-p, p:-p])


@pytest.mark.parametrize("gain", [0.8, 1.2])
def test_brightness_changes_little(gain, pipe, view):
    rgb, camera, out = view
    again = pipe(np.clip(rgb * gain, 0, 255).astype(np.uint8), camera)
    assert_close("brightness", again, out)


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("camera", [None, [[230.0, 0, 159.5], [0, 230, 119.5], [0, 0, 1]]])
def test_a_picture_of_nothing_has_depth_everywhere(level, camera, pipe):
    out = pipe(np.full((H, W, 3), level, np.uint8), camera and np.array(camera))
    for depth in (out.depth, out.metric_depth):
        assert np.isfinite(depth).all()
        assert (depth > 0).all()
        assert depth.max() < 100


def test_the_same_picture_has_the_same_depth_bit_for_bit_also_after_others(pipe, view):
    rgb, camera, out = view
    pipe(255 - rgb, camera)
    np.testing.assert_array_equal(pipe(rgb, camera).depth, out.depth)
