# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth bag extract`: what is written is what the data set readers take."""

import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from sharpdepth_ros.cli import main
from sharpdepth_ros.evaluation.datasets.folder import FolderDataset
from sharpdepth_ros.recordings.bags import rosbags_messages as messages
from sharpdepth_ros.training.config import DataConfig
from sharpdepth_ros.training.data import ImageFolder
from sharpdepth_ros.training.sampler import SampleKey

from .conftest import BEGIN, STEP, Bag, H, W, as_jpeg, camera_info, header, image, jpeg, picture

DEPTH = "/depth/registered"


def _metres(number):
    return (1 + picture(number)[..., 0] / 100).astype(np.float32)


def _add_depth(bag, number, kind="32FC1", late=0, size=None):
    """The depth of a frame, stamped `late` nanoseconds after it."""
    stamp = BEGIN + number * STEP + late
    metres = _metres(number) if size is None else np.ones(size, np.float32)
    if kind == "packed":
        scaled = (metres * 1000).round().astype(np.uint16)
        data = struct.pack("<iff", 0, 0, 0) + cv2.imencode(".png", scaled)[1].tobytes()
        make = messages.maker(messages.COMPRESSED_IMAGE)
        message = make(
            header=header(stamp),
            format="16UC1; compressedDepth png",
            data=np.frombuffer(data, np.uint8),
        )
        bag.add(DEPTH, messages.COMPRESSED_IMAGE, stamp + 500, message)
        return
    values = metres if kind == "32FC1" else (metres * 1000).round().astype(np.uint16)
    bag.add(DEPTH, messages.IMAGE, stamp + 500, image(values, stamp, kind))


def _extract(bag, tmp_path, *arguments):
    out = tmp_path / "out"
    source = bag.write(tmp_path / "in", "mcap")
    return main(["bag", "extract", str(source), str(out), *arguments]), out


@pytest.mark.parametrize("kind", ["32FC1", "16UC1", "packed"])
def test_frames_with_depth_are_an_evaluation_data_set(tmp_path, kind):
    bag = Bag()
    for number in range(4):
        bag.add_frame(number)
        _add_depth(bag, number, kind, late=7_000_000)
    status, out = _extract(bag, tmp_path, "--depth", DEPTH)
    assert status == 0
    data = FolderDataset(out)
    assert data.names == [f"1700000000_{number * STEP:09d}" for number in range(4)]
    for number in range(4):
        sample = data[number]
        np.testing.assert_array_equal(sample.rgb, picture(number))
        np.testing.assert_allclose(sample.depth, _metres(number), atol=0.0006)
        np.testing.assert_allclose(sample.intrinsics, camera_info(0).k.reshape(3, 3))


def test_pictures_and_their_camera_are_training_data(tmp_path):
    bag = Bag()
    for number in range(3):
        bag.add_frame(number)
    status, out = _extract(bag, tmp_path)
    assert status == 0
    config = DataConfig(
        source="images",
        path=str(out / "rgb"),
        intrinsics=str(out / "intrinsics.txt"),
        width=W,
        height=H,
        flip=False,
    )
    images = ImageFolder(config, seed=0)
    assert len(images) == 3
    np.testing.assert_array_equal(images[SampleKey(index=1, draw=0)][0], picture(1))


def test_a_recorded_jpeg_is_kept_as_it_is_and_a_distorted_one_is_rectified(tmp_path):
    bag = Bag()
    bag.add_frame(0, compressed=True)
    bag.add_frame(1, compressed=True, d=np.array([-0.3, 0.1, 0, 0, 0]))
    status, out = _extract(bag, tmp_path)
    assert status == 0
    recorded = [entry[3] for entry in bag.entries if entry[1] == messages.COMPRESSED_IMAGE]
    kept = (out / "rgb" / "1700000000_000000000.jpg").read_bytes()
    assert kept == recorded[0].data.tobytes()
    rectified = cv2.imread(str(out / "rgb" / "1700000000_100000000.png"))
    assert np.abs(rectified.astype(int) - cv2.imdecode(recorded[1].data, 1)).mean() > 5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--every", "3"], [0, 3, 6, 9]),
        (["--min-interval", "0.25"], [0, 3, 6, 9]),
        (["--start", "0.35", "--end", "0.65"], [4, 5, 6]),
    ],
)
def test_the_choice_of_frames(tmp_path, arguments, expected):
    bag = Bag()
    for number in range(10):
        bag.add_frame(number)
    status, out = _extract(bag, tmp_path, *arguments)
    assert status == 0
    names = sorted(path.stem for path in (out / "rgb").iterdir())
    assert names == [f"1700000000_{number * STEP:09d}" for number in expected]


def test_several_cameras_have_folders_of_their_own(tmp_path):
    bag = Bag()
    for camera in ("/front", "/left"):
        bag.add_frame(0, camera=camera)
    status, out = _extract(bag, tmp_path, "--cameras", "front,left", "--image", "image_raw")
    assert status == 0
    assert (out / "rgb/front/1700000000_000000000.png").is_file()
    assert (out / "intrinsics/left/1700000000_000000000.txt").is_file()


def test_frames_whose_depth_is_missing_or_of_another_size_are_left_out_and_listed(tmp_path, capsys):
    bag = Bag()
    for number in range(4):
        bag.add_frame(number)
        if number != 1:
            _add_depth(bag, number, size=(H // 2, W // 2) if number == 2 else None)
    status, out = _extract(bag, tmp_path, "--depth", DEPTH)
    said = capsys.readouterr().err
    assert status == 1
    assert "1 of 4 frames have no depth on /depth/registered within 0.02 s" in said
    assert "the depth is 24x16 and the image 48x32: ground truth has to be registered" in said
    assert FolderDataset(out).names == ["1700000000_000000000", "1700000000_300000000"]


def test_a_bag_without_camera_info_gives_pictures_alone_and_says_so(tmp_path, capsys):
    bag = Bag()
    bag.add_frame(0, info=False)
    status, out = _extract(bag, tmp_path)
    assert status == 1
    assert "has no camera_info: pictures are taken as they are" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["rgb"]


def test_a_depth_image_that_claims_more_pixels_than_can_be_decoded_is_left_out(tmp_path, capsys):
    bag = Bag()
    bag.add_frame(0)
    data = struct.pack("<iff", 0, 0, 0) + b"P6 1000000 1000000 255\n0"
    make = messages.maker(messages.COMPRESSED_IMAGE)
    message = make(
        header=header(BEGIN),
        format="16UC1; compressedDepth png",
        data=np.frombuffer(data, np.uint8),
    )
    bag.add(DEPTH, messages.COMPRESSED_IMAGE, BEGIN + 500, message)
    status, _ = _extract(bag, tmp_path, "--depth", DEPTH)
    assert status != 0
    assert "cannot be decoded: only PNG is read" in capsys.readouterr().err


def _compressed(pixels, stamp, kind, suffix, head=b""):
    data = head + cv2.imencode(suffix, pixels)[1].tobytes()
    make = messages.maker(messages.COMPRESSED_IMAGE)
    return make(header=header(stamp), format=kind, data=np.frombuffer(data, np.uint8))


def _millimetres(number=0):
    return (_metres(number) * 1000).round().astype(np.uint16)


def _padded_big_endian():
    metres = _metres(0).astype(">f4")
    rows = np.pad(metres.view(np.uint8), ((0, 0), (0, 12)), constant_values=77)
    message = image(rows, BEGIN, "32FC1")
    message.width, message.is_bigendian = W, 1
    return message


def _inverse_depth():
    nearest, quantum = 10.0, 100.0
    a = quantum * (quantum + 1)
    b = 1 - a / nearest
    stored = (a / _metres(0) + b).astype(np.uint16)
    head = struct.pack("<iff", 0, a, b)
    return _compressed(stored, BEGIN, "32FC1; compressedDepth png", ".png", head)


@pytest.mark.parametrize(
    ("make", "tolerance"),
    [
        (lambda: _compressed(_millimetres(), BEGIN, "16UC1; png compressed ", ".png"), 0.0006),
        (lambda: _compressed(_millimetres(), BEGIN, "mono16; png compressed ", ".png"), 0.0006),
        (lambda: _compressed(_metres(0), BEGIN, "32FC1; tiff compressed ", ".tif"), 0),
        (
            lambda: _compressed(
                _millimetres(),
                BEGIN,
                "16UC1; compressedDepth",
                ".png",
                struct.pack("<iff", 0, 0, 0),
            ),
            0.0006,
        ),
        (lambda: _compressed(_millimetres(), BEGIN, "16UC1; compressedDepth png", ".png"), 0.0006),
        (_inverse_depth, 0.01),
        (_padded_big_endian, 0),
    ],
    ids=["16UC1 png", "mono16 png", "32FC1 tiff", "old", "headless", "inverse", "padded"],
)
def test_every_lossless_form_of_depth_is_read(tmp_path, make, tolerance):
    bag = Bag()
    bag.add_frame(0)
    message = make()
    bag.add(DEPTH, message.__msgtype__, BEGIN + 500, message)
    status, out = _extract(bag, tmp_path, "--depth", DEPTH)
    assert status == 0
    np.testing.assert_allclose(FolderDataset(out)[0].depth, _metres(0), atol=tolerance)


@pytest.mark.parametrize(
    ("pixels", "kind", "suffix", "said"),
    [
        (picture(0)[..., 0], "16UC1; jpeg compressed ", ".jpg", "JPEG and 8 bits lose the metres"),
        (picture(0), "16UC1; png compressed ", ".png", "holds uint8 [32, 48, 3], not the uint16"),
        (picture(0), "rgb8; png compressed bgr8", ".png", "is no depth: that is 16UC1, mono16"),
    ],
)
def test_a_picture_given_as_depth_is_refused_by_name(tmp_path, capsys, pixels, kind, suffix, said):
    bag = Bag()
    bag.add_frame(0)
    message = _compressed(pixels, BEGIN, kind, suffix)
    bag.add(DEPTH, messages.COMPRESSED_IMAGE, BEGIN + 500, message)
    status, out = _extract(bag, tmp_path, "--depth", DEPTH)
    assert status == 1
    assert said in capsys.readouterr().err
    assert not (out / "rgb").exists()


@pytest.mark.parametrize(
    ("depth", "said"),
    [
        (_metres(0) * 1000, "the median depth is above 200 m: floating-point depth is in metres"),
        (np.full((H, W), np.nan, np.float32), "the depth has no valid pixel"),
        (np.zeros((H, W), np.uint16), "the depth has no valid pixel"),
    ],
)
def test_depth_that_makes_numbers_meaningless_is_named(tmp_path, capsys, depth, said):
    bag = Bag()
    bag.add_frame(0)
    kind = "16UC1" if depth.dtype == np.uint16 else "32FC1"
    bag.add(DEPTH, messages.IMAGE, BEGIN + 500, image(depth, BEGIN, kind))
    status, out = _extract(bag, tmp_path, "--depth", DEPTH)
    assert status == 1
    assert f"{DEPTH}: {said}" in capsys.readouterr().err
    assert len(list((out / "rgb").iterdir())) == 1


@pytest.mark.parametrize("stamps", [[0] * 5, [BEGIN] * 5, [BEGIN, BEGIN + STEP] * 2 + [BEGIN]])
def test_frames_that_share_a_stamp_are_all_written_in_order(tmp_path, capsys, stamps):
    bag = Bag()
    for number, stamp in enumerate(stamps):
        bag.add_frame(number, stamp=stamp)
    _, out = _extract(bag, tmp_path)
    assert ": 5 frames" in capsys.readouterr().out
    files = sorted((out / "rgb").iterdir())
    assert len(files) == 5
    assert len(list((out / "intrinsics").iterdir())) == 5
    order = sorted(range(5), key=lambda number: (stamps[number], number))
    for file, number in zip(files, order, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(file))[..., ::-1], picture(number))


def test_extracting_again_in_another_format_refuses_and_deletes_nothing(tmp_path, capsys):
    bag = Bag()
    for number in range(3):
        bag.add_frame(number)
        _add_depth(bag, number)
    arguments = ["bag", "extract", str(bag.write(tmp_path / "in", "mcap")), str(tmp_path / "out")]
    arguments += ["--depth", DEPTH]
    assert main([*arguments, "--image-format", "png"]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([*arguments, "--image-format", "jpg"]) == 1
    said = capsys.readouterr()
    assert ": 0 frames" in said.out
    assert "000000000.png is there already, and this run would write" in said.err
    after = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert after == before
    assert main([*arguments, "--image-format", "png"]) == 0  # the same again replaces


def test_a_compressed_mosaic_is_extracted_in_colour(tmp_path):
    rgb = np.full((H, W, 3), (200, 120, 40), np.uint8)
    mosaic = rgb[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = rgb[::2, ::2, 0], rgb[1::2, 1::2, 2]
    bag = Bag()
    message = _compressed(mosaic, BEGIN, "bayer_rggb8; jpeg compressed ", ".jpg")
    bag.add("/camera/image_raw/compressed", messages.COMPRESSED_IMAGE, BEGIN + 1, message)
    bag.add("/camera/camera_info", messages.CAMERA_INFO, BEGIN + 2, camera_info(BEGIN))
    status, out = _extract(bag, tmp_path)
    assert status == 0
    (file,) = (out / "rgb").iterdir()
    found = cv2.imread(str(file))[2:-2, 2:-2, ::-1]
    np.testing.assert_allclose(found.astype(int), rgb[2:-2, 2:-2].astype(int), atol=25)


def test_a_compressed_image_that_no_library_reads_loses_its_frame_only(tmp_path, capsys):
    """With --intrinsics its size is needed before it is decoded."""
    bag = Bag()
    for number in range(2):
        bag.add_frame(number, compressed=True, info=False)
    chunks = b"IHDR" + struct.pack(">IIBBBBB", 2**20, 2**20, 8, 2, 0, 0, 0), b"IDAT" + bytes(9)
    data = b"\x89PNG\r\n\x1a\n"
    for chunk in chunks:
        data += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    make = messages.maker(messages.COMPRESSED_IMAGE)
    message = make(
        header=header(BEGIN + 2 * STEP), format="png", data=np.frombuffer(data, np.uint8)
    )
    bag.add(
        "/camera/image_raw/compressed", messages.COMPRESSED_IMAGE, BEGIN + 2 * STEP + 1, message
    )
    status, out = _extract(bag, tmp_path, "--intrinsics", "40,40,24,16")
    assert status == 1
    assert "has images that cannot be read" in capsys.readouterr().err
    assert len(list((out / "rgb").iterdir())) == 2


def test_a_depth_topic_that_is_not_there_is_named(tmp_path, capsys):
    bag = Bag()
    bag.add_frame(0)
    status, _ = _extract(bag, tmp_path, "--depth", "/nowhere")
    assert status == 2
    assert "no depth images on /nowhere; images are on ['/camera/image_raw']" in (
        capsys.readouterr().err
    )


LENS = [-0.28, 0.07, 0.0, 0.0, 0.0]


def _wide(k):
    """P of a barrel lens that keeps all pixels of the sensor, as alpha 1 makes it."""
    camera = cv2.getOptimalNewCameraMatrix(k.reshape(3, 3), np.array(LENS), (W, H), 1.0)[0]
    return np.hstack([camera, np.zeros((3, 1))])


def test_what_the_sensor_never_saw_has_no_depth_and_a_mask_says_so(tmp_path):
    bag = Bag()
    k = camera_info(0).k
    bag.add_frame(0, d=np.array(LENS), p=_wide(k).ravel())
    _add_depth(bag, 0)
    status, out = _extract(bag, tmp_path, "--depth", DEPTH)
    assert status == 0
    columns, rows = cv2.initUndistortRectifyMap(
        k.reshape(3, 3), np.array(LENS), None, _wide(k)[:, :3], (W, H), cv2.CV_32FC1
    )
    unseen = (columns < -0.1) | (rows < -0.1) | (columns > W - 0.9) | (rows > H - 0.9)
    assert unseen.mean() > 0.02
    sample = FolderDataset(out)[0]
    assert not sample.valid[unseen].any()
    assert np.isnan(sample.depth[unseen]).all()
    assert sample.valid.mean() > 0.7
    np.testing.assert_allclose(sample.depth[sample.valid], _metres(0)[sample.valid])


def test_training_takes_windows_of_what_the_sensor_saw(tmp_path):
    bag = Bag()
    info = {"d": np.array(LENS), "p": _wide(camera_info(0).k).ravel()}
    bag.add_frame(0, pixels=np.full((H, W, 3), 200, np.uint8), **info)
    _, out = _extract(bag, tmp_path)
    picture_file = next((out / "rgb").iterdir())
    pixels = cv2.imread(str(picture_file))
    pixels[cv2.imread(str(out / "valid" / picture_file.name), 0) == 0] = 0
    cv2.imwrite(str(picture_file), pixels)  # so that a single one would show
    config = DataConfig(
        source="images",
        path=str(out / "rgb"),
        intrinsics=str(out / "intrinsics.txt"),
        width=W // 2,
        height=H // 2,
        flip=False,
    )
    rgb, _, camera, *_ = ImageFolder(config, 0)[SampleKey(0, 0)]
    assert (rgb == 200).all()
    assert 0 < camera[0, 2] < W // 2


def _with_orientation(data, orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "maker"
    segment = exif.tobytes()
    head = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    return np.frombuffer(data[:2].tobytes() + head + data[2:].tobytes(), np.uint8)


def test_a_jpeg_means_the_same_to_every_reader(tmp_path):
    bag = Bag()
    message = jpeg(picture(0), BEGIN)
    turned = _with_orientation(message.data, 3)
    bag.add_frame(0, compressed=True)
    bag.entries[0] = (*bag.entries[0][:3], replace(message, data=turned))
    assert not np.array_equal(
        cv2.imdecode(turned, cv2.IMREAD_COLOR)[..., ::-1], as_jpeg(picture(0))
    )
    status, out = _extract(bag, tmp_path)
    assert status == 0
    file = next((out / "rgb").glob("*.jpg"))
    np.testing.assert_array_equal(cv2.imread(str(file))[..., ::-1], as_jpeg(picture(0)))
    with Image.open(file) as kept:
        assert (kept.getexif()[0x0112], kept.getexif()[0x010F]) == (1, "maker")


def _camera_file(tmp_path, width, height):
    k = [0.9 * width, 0, width / 2, 0, 0.9 * width, height / 2, 0, 0, 1]
    p = [0.6 * width, 0, width / 2, 0, 0, 0.6 * width, height / 2, 0, 0, 0, 1, 0]
    path = tmp_path / "camera.yaml"
    path.write_text(
        f"width: {width}\nheight: {height}\nk: {k}\np: {p}\n"
        f"d: {LENS}\ndistortion_model: plumb_bob\n"
    )
    return str(path)


def test_a_given_camera_of_another_size_is_scaled_and_its_lens_undone(tmp_path, capsys):
    bag = Bag()
    for number in range(2):
        bag.add_frame(number, info=False)
    status, out = _extract(bag, tmp_path, "--intrinsics", _camera_file(tmp_path, 2 * W, 2 * H))
    assert status == 0
    assert capsys.readouterr().err.count(f"those of {2 * W}x{2 * H} images, and scaled") == 1
    camera = np.loadtxt(out / "intrinsics.txt")
    assert camera[0, 0] == pytest.approx(0.6 * W)
    masks = list((out / "valid").iterdir())
    assert len(masks) == len(list((out / "rgb").iterdir())) == 2
    assert 0.3 < (cv2.imread(str(masks[0]), 0) > 0).mean() < 0.95


def test_a_given_camera_of_another_shape_is_refused_with_both_sizes(tmp_path, capsys):
    bag = Bag()
    bag.add_frame(0, info=False)
    status, out = _extract(bag, tmp_path, "--intrinsics", _camera_file(tmp_path, 2 * W, H))
    assert status == 1
    said = capsys.readouterr().err
    assert f"those of {2 * W}x{H} images, and this picture is {W}x{H}" in said
    assert not (out / "rgb").exists()
