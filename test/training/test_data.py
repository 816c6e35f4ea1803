# SPDX-License-Identifier: Apache-2.0
"""Data sets: any folder of images, synthetic frames, mirroring, and an order that can resume."""

import json
import shutil
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sharpdepth_ros.io.intrinsics_files import read_intrinsics
from sharpdepth_ros.training.config import DataConfig
from sharpdepth_ros.training.data import collate, fit_to, largest_window, open_data
from sharpdepth_ros.training.sampler import BatchOrder, SampleKey


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    (folder / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (60, 80)), ("b.jpg", (40, 30)), ("deeper/c.png", (48, 64))):
        cv2.imwrite(str(folder / name), rng.integers(0, 255, (*size, 3), np.uint8))
    return folder


def test_images_of_any_size_become_one_batch(images):
    data = open_data(DataConfig(path=str(images), width=32, height=24), seed=0)
    batch = collate([data[SampleKey(i, i)] for i in range(3)])
    assert batch.rgb.shape == (3, 3, 24, 32)
    assert batch.rgb.dtype == torch.uint8
    assert batch.depth is None and batch.intrinsics is None


def test_an_unreadable_image_is_replaced_and_named(images):
    (images / "b.jpg").write_bytes(b"not an image")
    data = open_data(DataConfig(path=str(images), width=32, height=24), seed=0)
    batch = collate([data[SampleKey(i, i)] for i in range(3)])
    assert list(batch.unreadable) == [str(images / "b.jpg")]
    assert batch.names[1] in (batch.names[0], batch.names[2])


def test_a_long_row_of_unreadable_images_is_replaced_by_all_the_others(images, tmp_path):
    for number in range(100):
        (images / f"a{number:03d}.png").touch()  # a copy that ran out of disk
    data = open_data(DataConfig(path=str(images), width=32, height=24), seed=0)
    order = islice(iter(BatchOrder(len(data), 1, seed=0)), 103)
    batches = [collate([data[key] for key in keys]) for keys in order]
    shown = [batch.names[0] for batch in batches]
    assert {Path(name).stem for name in shown} == {"a", "b", "c"}
    assert max(shown.count(name) for name in set(shown)) < 60  # not one for the whole row
    assert len(data.unreadable) == 100
    again = open_data(DataConfig(path=str(images), width=32, height=24), seed=0)
    later = [
        collate([again[key] for key in keys]).names[0]
        for keys in islice(iter(BatchOrder(len(data), 1, seed=0, start=90)), 13)
    ]
    assert later == shown[90:]  # as a resumed run sees them


def test_a_frame_whose_files_do_not_belong_together_is_replaced(frames, tmp_path):
    folder = tmp_path / "frames"
    shutil.copytree(frames, folder)
    cv2.imwrite(str(folder / "depth" / "000001.png"), np.ones((9, 9), np.uint16))
    (folder / "frames" / "000002.json").write_text("{}")
    (folder / "frames" / "._000003.json").write_bytes(b"mac")
    data = open_data(DataConfig(source="frames", path=str(folder), width=32, height=24), seed=0)
    batch = collate([data[SampleKey(i, i)] for i in range(4)])
    assert sorted(Path(name).stem for name in batch.unreadable) == ["000001", "000002"]
    assert {Path(name).stem for name in batch.names} == {"000000", "000003"}


def test_a_folder_of_nothing_but_unreadable_images_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    data = open_data(DataConfig(path=str(tmp_path), width=32, height=24), seed=0)
    with pytest.raises(ValueError, match=r"none of the 1 images can be read.*a\.png"):
        data[SampleKey(0, 0)]


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no image"):
        open_data(DataConfig(path=str(tmp_path)), seed=0)


def test_the_camera_of_a_folder_follows_scaling_and_cutting(images):
    config = DataConfig(
        path=str(images / "deeper"), width=32, height=24, intrinsics="50,50,31.5,23.5"
    )
    batch = collate([open_data(config, seed=0)[SampleKey(0, 0)]])
    expected = torch.tensor([[25.0, 0, 15.5], [0, 25.0, 11.5], [0, 0, 1]])
    torch.testing.assert_close(batch.intrinsics[0], expected)


def test_fitting_keeps_a_point_under_the_same_ray():
    camera = np.array([[70.0, 0, 40], [0, 70.0, 29], [0, 0, 1]])
    depth = np.zeros((60, 80), np.float32)
    depth[20:24, 44:48] = 1
    _, fitted, scaled = fit_to(np.zeros((60, 80, 3), np.uint8), depth, camera, 40, 20)
    before = (np.argwhere(depth).mean(0)[::-1] - camera[:2, 2]) / 70
    after = (np.argwhere(fitted).mean(0)[::-1] - scaled[:2, 2]) / scaled[[0, 1], [0, 1]]
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_rendered_frames_bring_depth_and_camera(frames):
    config = DataConfig(source="frames", path=str(frames), width=32, height=24)
    batch = collate([open_data(config, seed=0)[SampleKey(i, i)] for i in range(2)])
    assert batch.depth.shape == (2, 1, 24, 32)
    assert (batch.depth > 0).all()
    assert batch.intrinsics.shape == (2, 3, 3)


def test_scenes_are_rendered_on_the_fly_the_same_each_time():
    config = DataConfig(source="scenes", width=32, height=24, frames=4)
    first, again = (open_data(config, seed=5)[SampleKey(2, 0)] for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_a_crop_at_native_size_keeps_the_focal_length(frames):
    config = DataConfig(source="frames", path=str(frames), width=16, height=16, native_crop=True)
    whole = DataConfig(source="frames", path=str(frames), width=64, height=48)
    crop = collate([open_data(config, seed=0)[SampleKey(0, 0)]])
    full = collate([open_data(whole, seed=0)[SampleKey(0, 0)]])
    assert crop.rgb.shape[-2:] == (16, 16)
    assert crop.intrinsics[0, 0, 0] == full.intrinsics[0, 0, 0]


def test_a_scaled_window_is_of_the_scaled_image(frames):
    scaled = DataConfig(
        source="frames", path=str(frames), width=32, height=24, native_crop=True, scale=0.5
    )
    whole = DataConfig(source="frames", path=str(frames), width=32, height=24)
    window, full = (collate([open_data(c, seed=0)[SampleKey(0, 0)]]) for c in (scaled, whole))
    torch.testing.assert_close(window.rgb, full.rgb)  # half of 64 x 48 is the whole window
    torch.testing.assert_close(window.intrinsics, full.intrinsics)


def test_windows_of_one_image_have_keys_of_their_own(frames):
    config = DataConfig(source="frames", path=str(frames), width=16, height=16, native_crop=True)
    data = open_data(config, seed=0)
    batch = collate([data[SampleKey(0, draw)] for draw in (0, 1, 0)])
    assert batch.keys[0] != batch.keys[1]
    assert batch.keys[0] == batch.keys[2]
    assert len(set(batch.names)) == 1


def test_windows_at_another_scale_have_keys_of_their_own(frames):
    keys = []
    for scale in (0.5, 0.51):
        config = DataConfig(
            source="frames", path=str(frames), width=32, height=24, native_crop=True, scale=scale
        )
        data = open_data(config, seed=0)
        keys.append(set(collate([data[SampleKey(0, draw)] for draw in range(8)]).keys))
    assert len(keys[0]) == 1 and not keys[0] & keys[1]


def test_mirroring_turns_image_depth_and_camera_together(frames):
    config = DataConfig(source="frames", path=str(frames), width=32, height=24)
    batch = collate([open_data(config, seed=0)[SampleKey(0, 0)]])
    batch.flip[:] = True
    mirrored = batch.mirrored()
    torch.testing.assert_close(mirrored.rgb, batch.rgb.flip(-1))
    torch.testing.assert_close(mirrored.depth, batch.depth.flip(-1))
    assert mirrored.intrinsics[0, 0, 2] == 31 - batch.intrinsics[0, 0, 2]
    torch.testing.assert_close(mirrored.mirrored().rgb, mirrored.rgb)


def test_every_epoch_shows_each_sample_once():
    batches = list(islice(iter(BatchOrder(6, 2, seed=1)), 6))
    indices = [key.index for batch in batches for key in batch]
    assert sorted(indices[:6]) == sorted(indices[6:]) == list(range(6))
    assert indices[:6] != indices[6:]


def test_an_order_that_starts_later_goes_on_where_the_first_would_be():
    whole = list(islice(iter(BatchOrder(7, 3, seed=1)), 9))
    assert list(islice(iter(BatchOrder(7, 3, seed=1, start=4)), 5)) == whole[4:]


def test_processes_share_the_samples_of_an_epoch():
    orders = [iter(BatchOrder(8, 2, seed=1, process=p, processes=2)) for p in (0, 1)]
    indices = [key.index for order in orders for batch in islice(order, 2) for key in batch]
    assert sorted(indices) == list(range(8))


def test_training_windows_have_no_pixel_that_the_camera_never_saw(tmp_path):
    folder = tmp_path / "rgb"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((240, 320, 3), 200, np.uint8))
    camera = tmp_path / "camera.json"
    wide = {"k": [190, 0, 160, 0, 190, 120, 0, 0, 1], "d": [-0.28, 0.07, 0, 0, 0]}
    wide["p"] = [100, 0, 160, 0, 0, 100, 120, 0, 0, 0, 1, 0]
    camera.write_text(json.dumps(wide | {"distortion_model": "plumb_bob"}))
    config = DataConfig(path=str(folder), width=64, height=48, intrinsics=str(camera))
    (rgb, _, matrix, *_) = open_data(config, seed=0)[SampleKey(0, 0)]
    assert (rgb == 200).all()
    read = read_intrinsics(str(camera)).rectify(np.zeros((240, 320, 3), np.uint8))
    x, y, width, height = largest_window(read.seen)
    assert read.seen[y : y + height, x : x + width].all()
    # The lens keeps about as many pixels across as its projection shrinks.
    assert width * height > 0.6 * read.seen.sum()
    assert matrix[0, 0] == pytest.approx(100 * max(64 / width, 48 / height), rel=0.02)


def test_a_mask_beside_the_pictures_keeps_windows_to_what_it_holds(tmp_path):
    (tmp_path / "rgb/left").mkdir(parents=True)
    (tmp_path / "valid/left").mkdir(parents=True)
    image = np.full((48, 64, 3), 200, np.uint8)
    image[:, :20] = 0
    cv2.imwrite(str(tmp_path / "rgb/left/a.png"), image)
    cv2.imwrite(str(tmp_path / "valid/left/a.png"), image[..., 0])
    options = {"path": str(tmp_path / "rgb"), "width": 32, "height": 24}
    for native in ({}, {"native_crop": True}):
        data = open_data(DataConfig(**options, **native), seed=0)
        for draw in range(4):
            assert (data[SampleKey(0, draw)][0] == 200).all()


def test_a_picture_that_the_camera_saw_nothing_of_is_named(tmp_path):
    for folder, value in (("rgb", 200), ("valid", 0)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), np.full((48, 64, 3), value, np.uint8))
    data = open_data(DataConfig(path=str(tmp_path / "rgb"), width=32, height=24), seed=0)
    with pytest.raises(ValueError, match=r"a\.png: the camera saw no window of this picture"):
        data[SampleKey(0, 0)]


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_window_is_the_largest(seed):
    mask = np.random.default_rng(seed).random((9, 12)) > 0.25
    x, y, width, height = largest_window(mask)
    areas = [
        h * w
        for top in range(9)
        for left in range(12)
        for h in range(1, 10 - top)
        for w in range(1, 13 - left)
        if mask[top : top + h, left : left + w].all()
    ]
    assert mask[y : y + height, x : x + width].all()
    assert width * height == max(areas)
