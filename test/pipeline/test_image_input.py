# SPDX-License-Identifier: Apache-2.0
"""Images as people give them: taken where they can mean one thing, else one sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sharpdepth_ros.pipeline.image_input import as_rgb8
from sharpdepth_ros.pipeline.sharpdepth import SharpDepthPipeline

RGB = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
GREY = RGB[..., 0]
GREY_RGB = np.repeat(GREY[..., None], 3, axis=-1)
RGBA = np.dstack([RGB, GREY])

TAKEN = {
    "RGB": (RGB, RGB),
    "mirrored": (RGB[:, ::-1], RGB[:, ::-1]),
    "tensor": (torch.from_numpy(RGB), RGB),
    "channels first": (RGB.transpose(2, 0, 1), RGB),
    "tensor, channels first": (torch.from_numpy(RGB).permute(2, 0, 1), RGB),
    "batch of one": (torch.from_numpy(RGB).permute(2, 0, 1)[None], RGB),
    "grey": (GREY, GREY_RGB),
    "grey tensor with one channel": (torch.from_numpy(GREY)[None], GREY_RGB),
    "RGBA": (RGBA, RGB),
    "floats": (RGB.astype(np.float32) / 255, RGB),
    "half precision": (torch.from_numpy(RGB).permute(2, 0, 1).half() / 255, RGB),
    "PIL": (Image.fromarray(RGB), RGB),
    "PIL, grey": (Image.fromarray(GREY), GREY_RGB),
    "PIL, RGBA": (Image.fromarray(RGBA), RGB),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_what_can_mean_one_thing_is_taken(kind):
    given, expected = TAKEN[kind]
    taken = as_rgb8(given)
    assert isinstance(taken, torch.Tensor) == isinstance(given, torch.Tensor)
    assert taken.dtype in (np.uint8, torch.uint8)
    np.testing.assert_array_equal(np.asarray(taken), expected)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("photo.jpg", r"the path 'photo.jpg'; read the file first, .*read_rgb\(path\)"),
        (Path("a/photo.jpg"), "the path 'a/photo.jpg'"),
        ([RGB, RGB], r"a list of 2; .*batch\(\) takes several"),
        (None, "a builtins.NoneType"),
        (np.stack([RGB, RGB]), r"rgb is uint8 \[2, 24, 32, 3\]"),
        (np.zeros((24, 32, 2), np.uint8), r"rgb is uint8 \[24, 32, 2\]"),
        (np.zeros(7, np.uint8), r"rgb is uint8 \[7\]"),
        (np.zeros((0, 0, 3), np.uint8), r"rgb is uint8 \[0, 0, 3\] and has no pixel"),
        (RGB.astype(np.uint16) * 257, r"rgb is uint16 \[24, 32, 3\], whose range is not known"),
        (torch.from_numpy(RGB).long(), r"rgb is torch.int64 \[24, 32, 3\], whose range"),
        (RGB.astype(np.float64), r"rgb is float64 .* from 0 to 255; floats have to be in \[0, 1\]"),
        (np.full((4, 4, 3), np.nan, np.float32), "values from nan to nan"),
        (Image.fromarray(GREY.astype(np.int32)), "PIL image of mode 'I'"),
    ],
)
def test_what_could_mean_several_things_gets_a_sentence(image, message):
    with pytest.raises(ValueError, match=message):
        as_rgb8(image)


def test_the_pipeline_takes_each_alone_and_in_a_batch():
    pipe = SharpDepthPipeline.from_pretrained("demo", metric_model="demo", device="cpu")
    options = {"mode": "metric", "processing_resolution": 32}
    expected = pipe(RGB, **options).depth
    kinds = ("PIL", "floats", "RGBA", "channels first")
    for kind in kinds:
        out = pipe(TAKEN[kind][0], **options).depth
        assert isinstance(out, np.ndarray)
        np.testing.assert_array_equal(out, expected)
    for out in pipe.batch([TAKEN[kind][0] for kind in kinds], **options):
        np.testing.assert_allclose(out.depth, expected, rtol=1e-4)
