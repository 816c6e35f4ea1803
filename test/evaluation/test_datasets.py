# SPDX-License-Identifier: Apache-2.0
"""Data sets: each reader on a small tree in its publisher's layout, written here."""

import json

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sharpdepth_ros.evaluation.datasets import (
    DATASETS,
    MissingData,
    open_dataset,
    parse_option,
    read_frame_list,
)
from sharpdepth_ros.evaluation.datasets.kitti_eigen_split import eigen_test_frames
from sharpdepth_ros.evaluation.datasets.nuscenes import validation_scenes
from sharpdepth_ros.synthetic import SampleOptions, read_frame, write_dataset

RNG = np.random.default_rng(0)


def write_image(path, height=12, width=16) -> np.ndarray:
    """A random image, lossless where the suffix is; RGB."""
    rgb = RNG.integers(0, 255, (height, width, 3), np.uint8)
    write_png(path, rgb[..., ::-1])
    return rgb


def write_png(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)


def write_bytes(path, data: bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def random_depth(height=12, width=16, low=1.0, high=9.0) -> np.ndarray:
    return RNG.uniform(low, high, (height, width)).astype(np.float32)


def test_a_plain_folder_is_read_with_its_camera_masks_and_edges(tmp_path):
    rgb = write_image(tmp_path / "rgb" / "a" / "one.png")
    depth = random_depth()
    depth[0, 0] = 0
    write_png(tmp_path / "depth" / "a" / "one.png", np.rint(depth * 1000).astype(np.uint16))
    valid = np.full((12, 16), 255, np.uint8)
    valid[5] = 0
    write_png(tmp_path / "valid" / "a" / "one.png", valid)
    write_png(tmp_path / "edges" / "a" / "one.png", (np.eye(12, 16) * 255).astype(np.uint8))
    (tmp_path / "intrinsics.txt").write_text("100 0 8\n0 100 6\n0 0 1\n")
    dataset = open_dataset("folder", tmp_path)
    sample = dataset[0]
    assert dataset.names == [sample.name] == ["a/one"]
    assert np.array_equal(sample.rgb, rgb)
    known = depth > 0
    np.testing.assert_allclose(sample.depth[known], depth[known], atol=5e-4)
    assert np.array_equal(sample.valid, known & (valid > 0))
    assert np.array_equal(sample.edges, np.eye(12, 16, dtype=bool))
    assert np.array_equal(sample.intrinsics, [[100, 0, 8], [0, 100, 6], [0, 0, 1]])


def test_a_plain_folder_may_have_one_camera_per_image_and_depth_in_metres(tmp_path):
    for i, name in enumerate(("one", "two")):
        write_image(tmp_path / "rgb" / f"{name}.png")
        (tmp_path / "depth").mkdir(exist_ok=True)
        np.save(tmp_path / "depth" / f"{name}.npy", random_depth())
        camera = {"K": [100 + i, 0, 8, 0, 100, 6, 0, 0, 1]}
        write_bytes(tmp_path / "intrinsics" / f"{name}.json", json.dumps(camera).encode())
    dataset = open_dataset("folder", tmp_path)
    assert [dataset[i].intrinsics[0, 0] for i in range(2)] == [100, 101]
    assert dataset[1].valid.all()


def lens_folder(root, **fields):
    """A picture and its depth as a barrel lens bends them; both have the columns in them."""
    columns = np.tile(np.arange(160, dtype=np.uint8), (120, 1))
    write_png(root / "rgb" / "one.png", np.repeat(columns[..., None], 3, axis=-1))
    (root / "depth").mkdir()
    np.save(root / "depth" / "one.npy", 1 + columns.astype(np.float32))
    write_png(root / "valid" / "one.png", np.full((120, 160), 255, np.uint8))
    camera = {"k": [95, 0, 80, 0, 95, 60, 0, 0, 1], "d": [-0.28, 0.07, 0, 0, 0]}
    camera["p"] = [68, 0, 80, 0, 0, 68, 60, 0, 0, 0, 1, 0]
    camera |= {"distortion_model": "plumb_bob", "width": 160, "height": 120} | fields
    write_bytes(root / "intrinsics.json", json.dumps(camera).encode())
    return open_dataset("folder", root)


def test_picture_depth_and_masks_of_a_plain_folder_go_through_the_lens_together(tmp_path):
    with pytest.warns(UserWarning, match="pictures are rectified with them"):
        sample = lens_folder(tmp_path)[0]
    assert 0.6 < sample.valid.mean() < 0.98
    assert not sample.valid[0, 0]
    assert np.isnan(sample.depth[0, 0])
    shown = sample.rgb[..., 0][sample.valid].astype(int)
    np.testing.assert_allclose(sample.depth[sample.valid] - 1, shown, atol=1)
    assert sample.intrinsics[0, 0] == 68


def test_depth_is_not_turned_with_the_camera(tmp_path):
    turn = cv2.Rodrigues(np.array([0.0, 0.1, 0.0]))[0]
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="leave the matrix out"):
        lens_folder(tmp_path, r=turn.ravel().tolist())[0]


def test_a_picture_and_its_depth_are_read_as_the_sensor_has_them(tmp_path):
    pixels = cv2.blur(RNG.integers(0, 255, (16, 24, 3), dtype=np.uint8), (5, 5))
    exif = Image.Exif()
    exif[0x0112] = 3
    (tmp_path / "rgb").mkdir(), (tmp_path / "depth").mkdir()
    Image.fromarray(pixels).save(tmp_path / "rgb/one.jpg", quality=98, exif=exif.tobytes())
    np.save(tmp_path / "depth/one.npy", random_depth(16, 24))
    rgb = open_dataset("folder", tmp_path)[0].rgb.astype(int)
    assert np.abs(rgb - pixels).mean() < 5 < np.abs(rgb[::-1, ::-1] - pixels).mean()


def test_synthetic_frames_are_a_plain_folder(tmp_path):
    options = SampleOptions(width=64, height=48)
    write_dataset(tmp_path, 2, options=options, depth_format="npy")
    dataset = open_dataset("folder", tmp_path)
    frame = read_frame(tmp_path, 1)
    sample = dataset[1]
    assert np.array_equal(sample.rgb, frame.rgb)
    assert np.array_equal(sample.valid, np.isfinite(frame.depth))
    assert np.array_equal(sample.depth[sample.valid], frame.depth[sample.valid])
    assert np.array_equal(sample.intrinsics, frame.intrinsics)


KITTI_IMAGE = "2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000006.png"


@pytest.fixture
def kitti_root(tmp_path):
    write_image(tmp_path / KITTI_IMAGE, 375, 1242)
    values = RNG.integers(256, 40 * 256, (375, 1242)).astype(np.uint16)
    values[200, 600] = 0
    values[201, 601] = 60000  # 234 m
    drive = "val/2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02"
    write_png(tmp_path / drive / "0000000006.png", values)
    return tmp_path, values


def test_kitti_is_cut_to_the_benchmark_and_its_camera_follows(kitti_root):
    root, values = kitti_root
    sample = open_dataset("kitti", root, limit=1, crop="none")[0]
    assert sample.rgb.shape == (352, 1216, 3)
    assert np.array_equal(np.nan_to_num(sample.depth), values[23:, 13:1229] / np.float32(256))
    assert not sample.valid[200 - 23, 600 - 13] and not sample.valid[201 - 23, 601 - 13]
    assert sample.valid.sum() == sample.valid.size - 2
    assert np.allclose(sample.intrinsics[:2, 2], [609.5593 - 13, 172.854 - 23])


@pytest.mark.parametrize(
    ("crop", "rows"), [("garg", (143, 349)), ("eigen", (117, 321)), ("default", (117, 321))]
)
def test_kitti_crops_are_the_published_rows_and_columns(kitti_root, crop, rows):
    root, _ = kitti_root
    valid = open_dataset("kitti", root, limit=1, crop=crop)[0].valid
    at = np.nonzero(valid.any(axis=1))[0]
    columns = np.nonzero(valid.any(axis=0))[0]
    assert (at[0], at[-1] + 1) == rows
    assert (columns[0], columns[-1] + 1) == (43, 1172)


def test_kitti_can_stay_whole(kitti_root):
    root, values = kitti_root
    sample = open_dataset("kitti", root, limit=1, benchmark_crop=False)[0]
    assert sample.depth.shape == values.shape
    assert sample.intrinsics[0, 2] == 609.5593


def test_the_eigen_split_has_652_frames_of_28_drives():
    frames = eigen_test_frames()
    assert len(set(frames)) == len(frames) == 652
    assert len({frame.split("/")[1] for frame in frames}) == 28
    assert KITTI_IMAGE in frames


def test_nyu_as_extracted_images(tmp_path):
    write_image(tmp_path / "test" / "office_0005" / "rgb_0009.png", 480, 640)
    values = np.full((480, 640), 2500, np.uint16)
    values[100, 100] = 0
    values[101, 101] = 10001
    write_png(tmp_path / "test" / "office_0005" / "depth_0009.png", values)
    sample = open_dataset("nyu", tmp_path)[0]
    assert sample.name == "test/office_0005/rgb_0009"
    assert sample.depth[200, 200] == 2.5
    expected = np.zeros((480, 640), bool)
    expected[45:471, 41:601] = True
    expected[100, 100] = expected[101, 101] = False
    assert np.array_equal(sample.valid, expected)
    assert sample.intrinsics[0, 0] == 518.8579


def test_nyu_as_the_publishers_mat_files(tmp_path):
    images = RNG.integers(0, 255, (3, 3, 640, 480), np.uint8)
    depths = RNG.uniform(1, 9, (3, 640, 480)).astype(np.float32)
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"], file["rawDepths"] = images, depths
    savemat(tmp_path / "splits.mat", {"testNdxs": np.array([[1], [3]], np.uint16)})
    dataset = open_dataset("nyu", tmp_path)
    assert dataset.names == ["0001", "0003"]
    sample = dataset[1]
    assert np.array_equal(sample.rgb, images[2].transpose(2, 1, 0))
    assert np.array_equal(sample.depth, depths[2].T)


def test_eth3d_reads_raw_depth_and_the_camera_of_the_image(tmp_path):
    scene = tmp_path / "courtyard"
    rgb = RNG.integers(0, 255, (12, 16, 3), np.uint8)
    (scene / "images" / "dslr_images").mkdir(parents=True)
    cv2.imwrite(str(scene / "images" / "dslr_images" / "DSC_0286.JPG"), rgb)
    depth = random_depth()
    depth[3, 4] = np.inf
    write_bytes(scene / "ground_truth_depth" / "dslr_images" / "DSC_0286.JPG", depth.tobytes())
    write_bytes(
        scene / "dslr_calibration_jpg" / "cameras.txt",
        b"# Camera list\n0 THIN_PRISM_FISHEYE 16 12 11 12 8 6 0 0 0 0 0 0 0 0\n"
        b"1 THIN_PRISM_FISHEYE 16 12 21 22 9 7 0 0 0 0 0 0 0 0\n",
    )
    write_bytes(
        scene / "dslr_calibration_jpg" / "images.txt",
        b"# Image list\n7 1 0 0 0 0 0 0 1 dslr_images/DSC_0286.JPG\n1.5 2.5 -1\n",
    )
    sample = open_dataset("eth3d", tmp_path)[0]
    assert np.array_equal(sample.depth, depth)
    assert not sample.valid[3, 4] and sample.valid.sum() == depth.size - 1
    assert np.array_equal(sample.intrinsics, [[21, 0, 9], [0, 22, 7], [0, 0, 1]])


def test_sintel_reads_dpt_and_cam(tmp_path):
    training = tmp_path / "training"
    rgb = write_image(training / "final" / "alley_1" / "frame_0001.png")
    depth = random_depth(high=300)
    tag = np.float32(202021.25).tobytes()
    size = np.array([16, 12], "<i4").tobytes()
    write_bytes(training / "depth" / "alley_1" / "frame_0001.dpt", tag + size + depth.tobytes())
    camera = np.array([[1120, 0, 511.5], [0, 1120, 217.5], [0, 0, 1]])
    pose = np.eye(3, 4).tobytes()
    path = training / "camdata_left" / "alley_1" / "frame_0001.cam"
    write_bytes(path, tag + camera.tobytes() + pose)
    sample = open_dataset("sintel", tmp_path)[0]
    assert np.array_equal(sample.rgb, rgb)
    assert np.array_equal(sample.depth, depth)
    assert np.array_equal(sample.valid, depth < 200)
    assert np.array_equal(sample.intrinsics, camera)


def test_a_file_that_is_not_sintels_is_named(tmp_path):
    write_image(tmp_path / "training" / "final" / "a" / "frame_0001.png")
    write_bytes(tmp_path / "training" / "depth" / "a" / "frame_0001.dpt", b"not a depth map")
    with pytest.raises(ValueError, match=r"frame_0001\.dpt is not a Sintel depth file"):
        open_dataset("sintel", tmp_path)[0]


def test_unrealstereo4k_turns_disparity_into_metres_and_keeps_the_sky_at_200(tmp_path):
    write_image(tmp_path / "00008" / "Image0" / "00000.png")
    disparity = np.full((12, 16), 96.0, np.float32)
    disparity[0] = 0.1
    (tmp_path / "00008" / "Disp0").mkdir()
    np.save(tmp_path / "00008" / "Disp0" / "00000.npy", disparity)
    for root in (tmp_path, tmp_path / "00008"):
        sample = open_dataset("unrealstereo4k", root)[0]
        assert (sample.depth[1:] == 10).all() and (sample.depth[0] == 200).all()
        assert np.array_equal(sample.valid, disparity > 1)


def test_spring_takes_every_second_disparity_and_the_frames_own_camera(tmp_path):
    scene = tmp_path / "train" / "0001"
    write_image(scene / "frame_left" / "frame_left_0002.png")
    disparity = np.zeros((24, 32), np.float32)
    disparity[::2, ::2] = 13.0
    disparity[0, 0] = 0
    (scene / "disp1_left").mkdir()
    with h5py.File(scene / "disp1_left" / "disp1_left_0002.dsp5", "w") as file:
        file.create_dataset("disparity", data=disparity, compression="gzip")
    write_bytes(scene / "cam_data" / "intrinsics.txt", b"1 1 1 1\n2000 2001 8 6\n")
    sample = open_dataset("spring", tmp_path)[0]
    assert sample.depth[0, 0] == 200 and not sample.valid[0, 0]
    assert (sample.depth[1:] == 10).all()  # 2000 px * 0.065 m / 13 px
    assert np.array_equal(sample.intrinsics, [[2000, 0, 8], [0, 2001, 6], [0, 0, 1]])


def test_spring_takes_a_published_list(tmp_path):
    for i in (1, 2, 3):
        write_image(tmp_path / "0001" / "frame_left" / f"frame_left_{i:04d}.png")
    listed = tmp_path / "list.txt"
    listed.write_text("0001/frame_left/frame_left_0003.png 0001/disp1_left/x.dsp5 2000\n\n")
    assert len(open_dataset("spring", tmp_path)) == 3
    dataset = open_dataset("spring", tmp_path, frames=read_frame_list(listed))
    assert dataset.names == ["0001/frame_left/frame_left_0003"]


@pytest.mark.parametrize("calibration", ["560,561,8,6", "560 0 8\n0 561 6\n0 0 1\n"])
def test_ibims_masks_its_depth_and_brings_its_edges(tmp_path, calibration):
    write_bytes(tmp_path / "imagelist.txt", b"corridor_01\n")
    write_image(tmp_path / "rgb" / "corridor_01.png")
    write_png(tmp_path / "depth" / "corridor_01.png", np.full((12, 16), 13107, np.uint16))
    for i, mask in enumerate(("mask_invalid", "mask_transp")):
        values = np.full((12, 16), 255, np.uint8)
        values[i] = 0
        write_png(tmp_path / mask / "corridor_01.png", values)
    write_png(tmp_path / "edges" / "corridor_01.png", (np.eye(12, 16) * 255).astype(np.uint8))
    write_bytes(tmp_path / "calib" / "corridor_01.txt", calibration.encode())
    sample = open_dataset("ibims1", tmp_path)[0]
    assert sample.name == "corridor_01"
    np.testing.assert_allclose(sample.depth[2:], 10, rtol=1e-6)
    assert np.isnan(sample.depth[:2]).all() and sample.valid.sum() == 10 * 16
    assert np.array_equal(sample.edges, np.eye(12, 16, dtype=bool))
    assert np.array_equal(sample.intrinsics, [[560, 0, 8], [0, 561, 6], [0, 0, 1]])


def test_diode_uses_its_mask(tmp_path):
    for part in ("indoors", "outdoors"):
        scan = tmp_path / "val" / part / "scene_00019" / "scan_00183"
        write_image(scan / f"00019_00183_{part}_000_010.png")
        depth = random_depth()[..., None]
        mask = np.ones((12, 16), np.float32)
        mask[2, 3] = 0
        np.save(scan / f"00019_00183_{part}_000_010_depth.npy", depth)
        np.save(scan / f"00019_00183_{part}_000_010_depth_mask.npy", mask)
    assert len(open_dataset("diode", tmp_path)) == 2
    dataset = open_dataset("diode", tmp_path, part="outdoors")
    sample = dataset[0]
    assert len(dataset) == 1 and "outdoors" in sample.name
    assert np.array_equal(sample.valid, mask > 0)
    assert np.array_equal(sample.depth[mask > 0], depth[..., 0][mask > 0])


@pytest.fixture
def nuscenes_root(tmp_path):
    """A car that drives 1 m forward (world x) between the lidar's sweep and the picture."""
    forward = [0.5, -0.5, 0.5, -0.5]  # camera z is the car's x, camera x its -y, camera y its -z
    tables = {
        "scene": [{"token": "s", "name": "scene-0061"}],
        "sample": [{"token": "k", "scene_token": "s"}],
        "calibrated_sensor": [
            {
                "token": "cam",
                "translation": [1.5, 0, 1.5],
                "rotation": forward,
                "camera_intrinsic": [[10, 0, 8], [0, 10, 6], [0, 0, 1]],
            },
            {"token": "lid", "translation": [0, 0, 1.5], "rotation": [1, 0, 0, 0]},
        ],
        "ego_pose": [
            {"token": "then", "translation": [100, 50, 0], "rotation": [1, 0, 0, 0]},
            {"token": "now", "translation": [101, 50, 0], "rotation": [1, 0, 0, 0]},
        ],
        "sample_data": [
            _record("a", "cam", "now", "samples/CAM_FRONT/one.jpg", 2),
            _record("b", "lid", "then", "samples/LIDAR_TOP/one.pcd.bin", 1),
            _record("c", "cam", "now", "sweeps/CAM_FRONT/other.jpg", 3, key=False),
        ],
    }
    for name, rows in tables.items():
        write_bytes(tmp_path / "v1.0-mini" / f"{name}.json", json.dumps(rows).encode())
    write_image(tmp_path / "samples" / "CAM_FRONT" / "one.jpg")
    points = np.zeros((4, 5), np.float32)
    points[0, :3] = 12.5, 0, 0  # straight ahead: 10 m before the camera
    points[1, :3] = 22.5, 0, 0  # behind the first
    points[2, :3] = 7.5, -1, -1  # right and below: 5 m away
    points[3, :3] = -9, 0, 0  # behind the car
    write_bytes(tmp_path / "samples" / "LIDAR_TOP" / "one.pcd.bin", points.tobytes())
    return tmp_path


def _record(token, sensor, pose, filename, timestamp, key=True):
    return {
        "token": token,
        "sample_token": "k",
        "calibrated_sensor_token": sensor,
        "ego_pose_token": pose,
        "filename": filename,
        "timestamp": timestamp,
        "is_key_frame": key,
    }


def test_nuscenes_projects_the_nearest_lidar_points_through_the_cars_motion(nuscenes_root):
    dataset = open_dataset("nuscenes", nuscenes_root)
    assert dataset.names == ["samples/CAM_FRONT/one"]
    sample = dataset[0]
    rows, columns = np.nonzero(sample.valid)
    assert list(zip(rows, columns, strict=True)) == [(6, 8), (8, 10)]
    np.testing.assert_allclose(sample.depth[rows, columns], [10, 5], rtol=1e-5)


def test_nuscenes_validation_has_150_scenes():
    scenes = validation_scenes()
    assert len(scenes) == 150
    assert "scene-0003" in scenes and "scene-0061" not in scenes and "scene-1073" in scenes


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_missing_file_is_named_with_the_way_to_get_it(tmp_path, name):
    with pytest.raises(MissingData) as missing:
        open_dataset(name, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(missing.value)
    assert DATASETS[name].how_to_get in str(missing.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingData) as missing:
        open_dataset(name, tmp_path / "empty")[0]
    assert str(tmp_path / "empty") in str(missing.value)
    assert DATASETS[name].how_to_get in str(missing.value)


def test_depth_of_another_size_than_the_image_is_refused(tmp_path):
    write_image(tmp_path / "rgb" / "one.png")
    write_png(tmp_path / "depth" / "one.png", np.ones((6, 8), np.uint16))
    with pytest.raises(ValueError, match=r"one: the image is \(12, 16\) and its depth \(6, 8\)"):
        open_dataset("folder", tmp_path)[0]


def test_an_unknown_data_set_crop_or_option_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"'kiti' is not known.*kitti"):
        open_dataset("kiti", tmp_path)
    with pytest.raises(ValueError, match=r"diode has no option parts; it has part$"):
        open_dataset("diode", tmp_path, parts="indoors")
    with pytest.raises(ValueError, match=r"no crop 'centre'; known are none, garg, eigen"):
        open_dataset("kitti", tmp_path, crop="centre")


def test_options_are_typed_as_they_look():
    assert parse_option("part=indoors") == ("part", "indoors")
    assert parse_option("dense=false") == ("dense", False)
    assert parse_option("max_depth=80") == ("max_depth", 80)
    with pytest.raises(ValueError, match=r"'dense' is not NAME=VALUE"):
        parse_option("dense")
