# SPDX-License-Identifier: Apache-2.0
"""Clouds: what a PLY file gives back, and what is said about one that shows nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.io.depth_files import write_ply
from sharpdepth_ros.viewing.clouds import cloud_of_depth, read_cloud
from sharpdepth_ros.viewing.messages import cloud_of


def test_a_written_cloud_is_read_with_its_colours_and_nearly_its_spacing(frame, tmp_path):
    points = unproject(frame.depth, frame.camera)
    points[3, 5] = np.nan
    write_ply(tmp_path / "cloud.ply", points, frame.rgb)
    cloud = read_cloud(tmp_path / "cloud.ply")
    kept = np.isfinite(points).all(-1)
    np.testing.assert_array_equal(cloud.points, points[kept])
    np.testing.assert_array_equal(cloud.colours, frame.rgb[kept])
    assert cloud.seen_from_origin
    # Counted from the area that the points cover, where the depth image knows it.
    known = cloud_of_depth(frame.depth, frame.camera, frame.rgb).spacing
    assert cloud.spacing == pytest.approx(known, rel=0.2)
    np.testing.assert_allclose(cloud.radii(), 0.5 * cloud.spacing * cloud.points[:, 2])


def test_points_without_depth_are_left_out(frame):
    depth = frame.depth.copy()
    depth[0, :4] = (np.nan, np.inf, 0, -1)
    cloud = cloud_of_depth(depth, frame.camera, frame.rgb)
    assert len(cloud.points) == depth.size - 4
    np.testing.assert_array_equal(cloud.points[0], unproject(depth, frame.camera)[0, 4])


def write(path, **fields):
    names = list(fields)
    vertices = np.empty(
        len(fields[names[0]]), [(n, np.asarray(v).dtype) for n, v in fields.items()]
    )
    for name, values in fields.items():
        vertices[name] = values
    PlyData([PlyElement.describe(vertices, "vertex")]).write(str(path))
    return path


def test_a_cloud_without_colours_is_coloured_by_depth(tmp_path):
    z = np.linspace(1, 4, 50, dtype=np.float32)
    cloud = read_cloud(write(tmp_path / "grey.ply", x=z * 0, y=z * 0, z=z))
    assert cloud.colours[0].sum() > cloud.colours[-1].sum()  # near is bright


def test_colours_from_0_to_1_are_taken_for_what_they_are(tmp_path):
    one = np.ones(3, np.float32)
    path = write(tmp_path / "f.ply", x=one, y=one, z=one, red=one, green=one * 0.5, blue=one * 0)
    np.testing.assert_array_equal(read_cloud(path).colours[0], [255, 128, 0])


def test_a_cloud_around_the_origin_has_one_spacing_everywhere(tmp_path):
    side = np.linspace(-1, 1, 60, dtype=np.float32)
    x, y = (a.ravel() for a in np.meshgrid(side, side))
    cloud = read_cloud(write(tmp_path / "flat.ply", x=x, y=y, z=np.zeros_like(x)))
    assert not cloud.seen_from_origin
    assert cloud.spacing == pytest.approx(2 / 59, rel=0.2)
    assert np.unique(cloud.radii()).size == 1


def test_a_cloud_that_shows_nothing_says_why(tmp_path):
    nan = np.full(5, np.nan, np.float32)
    with pytest.raises(ValueError, match="none of its 5 is finite"):
        read_cloud(write(tmp_path / "nan.ply", x=nan, y=nan, z=nan))
    with pytest.raises(ValueError, match="no vertices with x, y and z"):
        read_cloud(write(tmp_path / "flat.ply", x=nan, y=nan))
    (tmp_path / "text.ply").write_text("this is no cloud")
    with pytest.raises(ValueError, match="is no PLY file"):
        read_cloud(tmp_path / "text.ply")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_cloud(tmp_path / "nowhere.ply")


def test_a_cloud_of_a_type_that_does_not_exist_is_refused_by_its_fields():
    fields = [SimpleNamespace(name=axis, datatype=42, offset=0) for axis in "xyz"]
    cloud = SimpleNamespace(is_bigendian=False, fields=fields, row_step=0, height=0, data=b"")
    with pytest.raises(ValueError, match="fields x, y, z are of types that do not exist"):
        cloud_of(cloud)
