# SPDX-License-Identifier: Apache-2.0
"""Viewing rays, their spherical harmonics and angles, and cameras that move with the image."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sharpdepth_ros.models.unidepth.rays import (
    fourier_features,
    pixel_rays,
    ray_angles,
    resample_rays,
    spherical_harmonics,
)
from sharpdepth_ros.models.unidepth.v1 import Letterbox
from sharpdepth_ros.models.unidepth.v2 import NetworkFrame

INTRINSICS = torch.tensor([[[100.0, 0, 40], [0, 120, 25], [0, 0, 1]]])


def random_rays(count):
    return F.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(0)), dim=-1)


def test_low_degrees_have_the_published_signs_and_factors():
    x, y, z = random_rays(100).unbind(-1)
    harmonics = spherical_harmonics(torch.stack((x, y, z), dim=-1), degree=2)
    expected = torch.stack(
        [
            torch.full_like(x, 0.282094791773878),
            -0.48860251190292 * y,
            0.48860251190292 * z,
            -0.48860251190292 * x,
            1.09254843059208 * x * y,
            -1.09254843059208 * y * z,
            0.94617469575756 * z**2 - 0.31539156525252,
            -1.09254843059208 * x * z,
            0.54627421529604 * (x**2 - y**2),
        ],
        dim=-1,
    )
    torch.testing.assert_close(harmonics, expected, rtol=0, atol=1e-6)


def test_harmonics_up_to_degree_8_are_orthonormal_on_the_sphere():
    # Gauss-Legendre in z and equal steps around it integrate these polynomials exactly.
    z, weight = (torch.from_numpy(a).float() for a in np.polynomial.legendre.leggauss(12))
    azimuth = torch.arange(24) * (2 * math.pi / 24)
    radius = (1 - z**2).sqrt()[:, None]
    points = torch.stack(
        (radius * azimuth.cos(), radius * azimuth.sin(), z[:, None].expand(-1, 24)), dim=-1
    )
    harmonics = spherical_harmonics(points)
    weights = (weight[:, None] * (2 * math.pi / 24)).expand(-1, 24)
    gram = torch.einsum("ija,ij,ijb->ab", harmonics, weights, harmonics)
    torch.testing.assert_close(gram, torch.eye(81), rtol=0, atol=1e-5)


def test_harmonics_of_each_degree_have_constant_power():
    # Unsoeld's theorem: the squares of a degree sum to (2 l + 1) / (4 pi) in every direction.
    harmonics = spherical_harmonics(random_rays(500))
    for degree in range(9):
        power = harmonics[:, degree**2 : (degree + 1) ** 2].square().sum(-1)
        torch.testing.assert_close(
            power, torch.full_like(power, (2 * degree + 1) / (4 * math.pi)), rtol=1e-4, atol=0
        )


def test_rays_are_unit_and_project_onto_their_pixel_centres():
    rays = pixel_rays(INTRINSICS, (50, 80))
    torch.testing.assert_close(rays.norm(dim=1), torch.ones(1, 50, 80))
    projected = torch.einsum("ij,jhw->ihw", INTRINSICS[0], rays[0] / rays[0, 2:])
    torch.testing.assert_close(projected[0, 7], torch.arange(80) + 0.5)
    torch.testing.assert_close(projected[1, :, 3], torch.arange(50) + 0.5)


def test_resampled_rays_look_through_the_middle_of_their_cells():
    coarse = resample_rays(pixel_rays(INTRINSICS, (50, 80)), (5, 8))
    tenth = INTRINSICS.clone()
    tenth[:, :2] /= 10
    direct = pixel_rays(tenth, (5, 8)).flatten(2).transpose(1, 2)
    assert (coarse * direct).sum(-1).min() > 0.9995
    torch.testing.assert_close(coarse.norm(dim=-1), torch.ones(1, 40))


def test_angles_are_measured_from_the_axis_and_around_it():
    axis, right, down = torch.eye(3)[[2, 0, 1]]
    angles = ray_angles(torch.stack((axis, right, down, F.normalize(right + axis, dim=0))))
    torch.testing.assert_close(
        angles[:, 0], torch.tensor([0, math.pi / 2, math.pi / 2, math.pi / 4])
    )
    torch.testing.assert_close(angles[1:3, 1], torch.tensor([0, math.pi / 2]), rtol=0, atol=2e-3)


def test_fourier_features_go_up_in_octaves_per_input():
    features = fourier_features(torch.tensor([[0.1, 0.3]]), dim=8, max_frequency=8)
    frequencies = math.pi * torch.tensor([1.0, 2, 4, 8])
    expected = torch.cat(((0.1 * frequencies).sin(), (0.3 * frequencies).sin()))
    torch.testing.assert_close(features[0], expected)


def frame_of(kind, size):
    if kind == "v1":
        return Letterbox.fit(size, (224, 308))
    return NetworkFrame.fit(size, (0.5, 2.5), (20_000, 60_000))


@pytest.mark.parametrize("kind", ["v1", "v2"])
@pytest.mark.parametrize("size", [(120, 160), (150, 100), (30, 400), (400, 30), (1, 5000)])
def test_a_camera_taken_into_the_network_and_back_is_the_same(kind, size):
    frame = frame_of(kind, size)
    back = frame.to_image(frame.to_network(INTRINSICS))
    torch.testing.assert_close(back, INTRINSICS, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_a_finer_image_of_the_same_camera_is_the_same_to_the_network(kind):
    doubled = INTRINSICS.clone()
    doubled[:, :2] *= 2
    coarse, fine = frame_of(kind, (50, 80)), frame_of(kind, (100, 160))
    torch.testing.assert_close(fine.to_network(doubled), coarse.to_network(INTRINSICS))


@pytest.mark.parametrize("size", [(120, 160), (30, 400), (400, 30)])
def test_v1_shows_the_image_where_its_camera_says(size):
    box = Letterbox.fit(size, (224, 308))
    network = box.pad(box.shrink(torch.ones(1, 3, *size)))
    assert network.shape == (1, 3, 224, 308)
    rows, columns = (network[0, 0] > 0.5).nonzero().unbind(-1)
    centre = torch.tensor([[[1.0, 0, size[1] / 2], [0, 1, size[0] / 2], [0, 0, 1]]])
    u, v = box.to_network(centre)[0, :2, 2].tolist()
    assert (columns.min() + columns.max() + 1).item() / 2 == pytest.approx(u, abs=1)
    assert (rows.min() + rows.max() + 1).item() / 2 == pytest.approx(v, abs=1)
    restored = box.restore(network[:, :1])
    torch.testing.assert_close(restored, torch.ones(1, 1, *size))


@pytest.mark.parametrize("size", [(120, 160), (30, 400), (400, 30), (2000, 3000)])
def test_v2_stays_within_the_trained_ratios_and_pixels(size):
    frame = frame_of("v2", size)
    height, width = frame.network_size
    assert height % 14 == width % 14 == 0
    assert 0.45 < width / height < 2.75
    assert 20_000 <= height * width < 1.25 * 60_000
    restored = frame.restore(torch.ones(1, 1, height, width))
    torch.testing.assert_close(restored, torch.ones(1, 1, *size))
