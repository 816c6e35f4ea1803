# SPDX-License-Identifier: Apache-2.0
"""Visibility: which surface each pixel's ray meets first, and at what exact depth.

Every ray is cast through a pixel centre and every hit is solved in closed form; nothing is
interpolated. What makes it fast is that no primitive is tried on pixels it cannot cover. In
homogeneous pixel coordinates p = (u, v, 1) the sides of a quad are half-planes and its inverse
depth is affine, and the silhouette of a quadric is a conic. So each primitive covers one run of
pixels per image row, found by solving a linear or quadratic equation; the runs of all primitives
are expanded into one flat list of (primitive, pixel) candidates, and the nearest one wins. The
whole of it is array arithmetic without a loop over primitives.

Shadow maps use the same code with an orthographic view (the sun) or a perspective one (a lamp).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sharpdepth_ros.synthetic.primitives import Quadrics, Quads
from sharpdepth_ros.synthetic.view import View

# Runs are widened by this many pixels so that quads sharing a side leave no crack between them.
_EDGE_SLACK = 1e-6
# Pairs of a shadow map that are drawn together: what fits the processor's cache is faster.
_PART = 65536
# Metres: what is nearer may not be seen.
_NEAR = 0.02


@dataclass
class Visibility:
    """The nearest surface of every pixel of a view, flattened row by row.

    key      float32 [pixels]: View.key of the depth; 0 (perspective) or -inf where there is none
    surface  int64 [pixels]: quads first, then quadrics; -1 where the ray meets nothing
    depth    float64 [pixels]: exact depth along the viewing axis, metres; inf where nothing
    """

    key: np.ndarray
    surface: np.ndarray
    depth: np.ndarray

    def at(self, pixels: np.ndarray) -> Visibility:
        """The same for some pixels only."""
        return Visibility(*(a.take(pixels) for a in (self.key, self.surface, self.depth)))


@dataclass
class _Runs:
    """What primitives may cover: one run is one primitive on one image row."""

    primitive: np.ndarray  # [runs]
    row: np.ndarray  # [runs] image row
    first: np.ndarray  # [runs] first column
    length: np.ndarray  # [runs]

    @classmethod
    def between(
        cls, primitive: np.ndarray, row: np.ndarray, first: np.ndarray, last: np.ndarray
    ) -> _Runs:
        """The runs from the columns ``first`` to ``last``; those that end before they begin go."""
        keep = np.flatnonzero(first <= last)
        first = first[keep].astype(np.int64)
        return cls(primitive[keep], row[keep], first, last[keep].astype(np.int64) - first + 1)

    def parts(self, pairs: int) -> Iterator[_Runs]:
        """The same in parts of about so many (primitive, pixel) pairs."""
        until = np.cumsum(self.length)
        total = int(until[-1]) if len(until) else 0
        cuts = [0, *np.searchsorted(until, np.arange(pairs, total, pairs)), len(until)]
        for start, end in pairwise(cuts):
            part = slice(start, end)
            yield _Runs(self.primitive[part], self.row[part], self.first[part], self.length[part])

    def expand(self, view: View) -> _Candidates:
        """Every pixel of every run."""
        offset = np.cumsum(self.length) - self.length
        step = np.arange(self.length.sum()) - np.repeat(offset, self.length)
        pixel = step + np.repeat(self.row * view.width + self.first, self.length)
        return _Candidates(self.primitive, self.row, self.first, self.length, step, pixel)


@dataclass
class _Candidates(_Runs):
    """(primitive, pixel) pairs, grouped in runs."""

    step: np.ndarray  # [pairs] column minus the run's first column
    pixel: np.ndarray  # [pairs] flat pixel index

    def spread(self, per_run: np.ndarray) -> np.ndarray:
        """Values per run to values per pair."""
        return np.repeat(per_run, self.length)


def visibility(view: View, quads: Quads, quadrics: Quadrics) -> Visibility:
    """Cast one ray through each pixel of ``view`` and keep the nearest hit."""
    key, surface = empty_key(view), np.full(view.width * view.height, -1)
    depth = np.full(view.width * view.height, np.inf)

    runs, plane = _quad_runs(view, quads)
    pairs = runs.expand(view)
    pair_key = _affine_key(pairs, plane)
    np.maximum.at(key, pairs.pixel, pair_key)
    won = np.flatnonzero(pair_key == key.take(pairs.pixel))
    surface[pairs.pixel.take(won)] = pairs.spread(pairs.primitive).take(won)

    # The race ran in float32; the winners' depth is solved again in float64.
    seen = np.flatnonzero(surface >= 0)
    row, column = np.divmod(seen, view.width)
    number = surface.take(seen)
    a, b, c = (coefficient.take(number) for coefficient in plane.T.copy())
    exact = a * column + b * row + c
    depth[seen] = 1 / exact if view.perspective else -exact

    quadric, pixel, hit_depth = _quadric_hits(view, quadrics)
    hit_key = view.key(hit_depth).astype(np.float32)
    ahead = hit_key > key[pixel]
    np.maximum.at(key, pixel, hit_key)
    won = np.flatnonzero(ahead & (hit_key == key[pixel]))
    surface[pixel[won]] = len(quads) + quadric[won]
    depth[pixel[won]] = hit_depth[won]
    return Visibility(key, surface, depth)


def empty_key(view: View) -> np.ndarray:
    """The key buffer [pixels] of a view of nothing."""
    return np.full(view.width * view.height, 0.0 if view.perspective else -np.inf, np.float32)


def nearest_key(view: View, quads: Quads, quadrics: Quadrics, key: np.ndarray) -> np.ndarray:
    """Draw into ``key`` (in place) the largest key per pixel: all a shadow map needs."""
    runs, plane = _quad_runs(view, quads)
    for part in runs.parts(_PART):
        pairs = part.expand(view)
        np.maximum.at(key, pairs.pixel, _affine_key(pairs, plane))
    _, pixel, depth = _quadric_hits(view, quadrics)
    np.maximum.at(key, pixel, view.key(depth).astype(np.float32))
    return key


def _affine_key(pairs: _Candidates, plane: np.ndarray) -> np.ndarray:
    a, b, c = (coefficient.take(pairs.primitive) for coefficient in plane.T.copy())
    start = a * pairs.first + b * pairs.row + c
    key = pairs.spread(a.astype(np.float32))
    key *= pairs.step.astype(np.float32)
    key += pairs.spread(start.astype(np.float32))
    return key


def _quad_runs(view: View, quads: Quads) -> tuple[_Runs, np.ndarray]:
    """Covered runs, and each quad's key as an affine function of (u, v, 1), float64 [n, 3]."""
    corner = view.project(quads.vertices)
    low, high, left, right = _pixel_bounds(view, corner)
    near = np.flatnonzero((low <= high) & (left <= right))
    corner, vertices = corner[near], quads.vertices[near]
    low, high, left, right = low[near], high[near], left[near], right[near]

    normal = np.cross(corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1])
    offset = np.einsum("ni,ni->n", normal, corner[:, 0])
    facing = np.abs(offset) > 1e-12 * np.abs(corner.reshape(len(corner), 12)).max(axis=1) ** 2
    safe = np.where(facing, offset, 1.0)
    inverse_depth = normal / safe[:, None]
    plane = np.zeros((len(quads), 3))
    if view.perspective:
        plane[near] = inverse_depth
    else:
        plane[near] = _ortho_depth_plane(view, vertices, corner, facing)
    # Five half-planes, each (3, n), that are >= 0 inside: the sides, and being in front.
    sides = np.cross(corner, np.roll(corner, -1, axis=1)) * np.sign(safe)[:, None, None]
    halves = [*sides.transpose(1, 2, 0).copy(), inverse_depth.T.copy()]

    index = np.flatnonzero(facing)
    primitive, row = _rows(index, low[index], high[index])
    first = np.full(len(row), -np.inf)
    last = np.full(len(row), np.inf)
    for half in halves:
        slope = half[0].take(primitive)
        value = half[1].take(primitive) * row + half[2].take(primitive)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = -value / slope
        np.maximum(first, crossing, out=first, where=slope > 0)
        np.minimum(last, crossing, out=last, where=slope < 0)
        last[(slope == 0) & (value < 0)] = -1
    first = np.maximum(np.ceil(np.maximum(first, -1.0) - _EDGE_SLACK), left[primitive])
    last = np.minimum(np.floor(np.minimum(last, view.width) + _EDGE_SLACK), right[primitive])
    return _Runs.between(near[primitive], row, first, last), plane


def _ortho_depth_plane(
    view: View, vertices: np.ndarray, corner: np.ndarray, facing: np.ndarray
) -> np.ndarray:
    points = corner.copy()
    points[:, :, 2] = view.depth(vertices)
    normal = np.cross(points[:, 2] - points[:, 0], points[:, 3] - points[:, 1])
    normal = normal / np.where(facing, normal[:, 2], 1.0)[:, None]
    start = points[:, 0, 2] + normal[:, 0] * points[:, 0, 0] + normal[:, 1] * points[:, 0, 1]
    return np.stack([normal[:, 0], normal[:, 1], -start], axis=1)  # minus the depth


def _quadric_hits(view: View, quadrics: Quadrics) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quadric, pixel and depth (float64) of every meeting of a ray with a quadric."""
    low, high, left, right = _pixel_bounds(view, view.project(quadrics.corners()))
    near = np.flatnonzero((low <= high) & (left <= right))
    low, high, left, right = low[near], high[near], left[near], right[near]
    shapes, capped = quadrics.coefficients[near], quadrics.capped[near]
    linear = quadrics.to_local[near, :, :3]
    origin = linear @ view.origin  # local ray: origin @ p + depth * direction @ p
    origin[:, :, 2] += quadrics.to_local[near, :, 3]
    direction = linear @ view.direction
    conic = _silhouette(view, shapes, origin, direction)

    primitive, row = _rows(np.arange(len(near)), low, high)
    # On one row the silhouette's inside is  a u^2 + 2 b u + c >= 0.
    q = conic.take(primitive, axis=0)
    a, b = q[:, 0, 0], q[:, 0, 1] * row + q[:, 0, 2]
    c = q[:, 1, 1] * row * row + 2 * q[:, 1, 2] * row + q[:, 2, 2]
    discriminant = b * b - a * c
    bounded = a < 0  # else the inside is two half-lines or everything: try the whole box
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.sqrt(np.maximum(discriminant, 0)) / -a
        middle = -b / a
    first, last = left[primitive].astype(float), right[primitive].astype(float)
    first[bounded] = np.maximum(first, np.ceil(middle - half - _EDGE_SLACK))[bounded]
    last[bounded] = np.minimum(last, np.floor(middle + half + _EDGE_SLACK))[bounded]
    last[bounded & (discriminant < 0)] = -1
    pairs = _Runs.between(primitive, row, first, last).expand(view)

    local_origin = _at_pairs(pairs, origin)
    local_direction = _at_pairs(pairs, direction)
    shape = [pairs.spread(shapes[pairs.primitive, i]) for i in range(3)]
    depth = _first_hit(local_origin, local_direction, shape, pairs.spread(capped[pairs.primitive]))
    hit = np.flatnonzero(np.isfinite(depth))
    return near[pairs.spread(pairs.primitive)[hit]], pairs.pixel[hit], depth[hit]


def _first_hit(
    origin: list[np.ndarray],
    direction: list[np.ndarray],
    shape: list[np.ndarray],
    capped: np.ndarray,
) -> np.ndarray:
    """Depth of the first hit of local rays with quadrics within |z| <= 1; inf where none."""
    ox, oy, oz = origin
    dx, dy, dz = direction
    alpha, beta, gamma = shape
    a = dx * dx + dy * dy + alpha * dz * dz
    b = ox * dx + oy * dy + (alpha * oz + beta / 2) * dz
    c = ox * ox + oy * oy + (alpha * oz + beta) * oz + gamma
    discriminant = b * b - a * c
    best = np.full(len(ox), np.inf)

    def offer(depth: np.ndarray, valid: np.ndarray) -> None:
        np.minimum(best, depth, out=best, where=valid & (depth > _NEAR))

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        root = np.sqrt(discriminant)
        for depth in ((-b - root) / a, (-b + root) / a):
            offer(depth, (discriminant >= 0) & (np.abs(oz + depth * dz) <= 1 + 1e-9))
        for cap in (-1.0, 1.0):
            depth = (cap - oz) / dz
            x, y = ox + depth * dx, oy + depth * dy
            offer(depth, capped & (x * x + y * y + alpha + beta * cap + gamma <= 0))
    return best


def _silhouette(
    view: View, shape: np.ndarray, origin: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Symmetric [n, 3, 3] with p^T Q p >= 0 where the ray of p meets the unclipped quadric."""
    n = len(shape)
    metric = np.zeros((n, 3, 3))
    metric[:, 0, 0] = metric[:, 1, 1] = 1
    metric[:, 2, 2] = shape[:, 0]
    unit = np.array([0.0, 0.0, 1.0])

    def form(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.swapaxes(left, 1, 2) @ metric @ right

    quadratic, cross, constant = (
        form(direction, direction),
        form(origin, direction),
        form(origin, origin),
    )
    half_beta = shape[:, 1, None] / 2
    if view.perspective:  # origin is the same for all pixels
        b = cross[:, 2] + half_beta * direction[:, 2]
        c = constant[:, 2, 2] + shape[:, 1] * origin[:, 2, 2] + shape[:, 2]
        return b[:, :, None] * b[:, None, :] - c[:, None, None] * quadratic
    # direction is the same for all pixels
    a = quadratic[:, 2, 2]
    b = cross[:, :, 2] + half_beta * direction[:, 2, 2, None] * unit
    tilt = origin[:, 2, :, None] * unit
    c = constant + half_beta[:, :, None] * (tilt + np.swapaxes(tilt, 1, 2))
    c[:, 2, 2] += shape[:, 2]
    return b[:, :, None] * b[:, None, :] - a[:, None, None] * c


def _pixel_bounds(view: View, corner: np.ndarray) -> tuple[np.ndarray, ...]:
    """First and last row, first and last column [n] each of projected corners [n, k, 3].

    Empty (first after last) when the convex hull of the corners does not show.
    """
    n, count = corner.shape[:2]
    ahead = corner[:, :, 2] > _NEAR
    low, high = np.full((n, 2), np.inf), np.full((n, 2), -np.inf)
    for k in range(count):  # numpy reduces short axes slowly
        pixel = corner[:, k, :2] / np.maximum(corner[:, k, 2], _NEAR)[:, None]
        shown = ahead[:, k, None]
        np.minimum(low, pixel, out=low, where=shown)
        np.maximum(high, pixel, out=high, where=shown)
    cut = np.flatnonzero(ahead.any(axis=1) & ~ahead.all(axis=1))
    if len(cut):
        crossing = _near_crossings(corner[cut], ahead[cut])
        low[cut] = np.minimum(low[cut], np.nanmin(crossing, axis=1))
        high[cut] = np.maximum(high[cut], np.nanmax(crossing, axis=1))
    limit = np.array([view.width - 1, view.height - 1])
    low = np.clip(np.ceil(low - _EDGE_SLACK), 0, limit + 1).astype(np.int64)
    high = np.clip(np.floor(high + _EDGE_SLACK), -1, limit).astype(np.int64)
    return low[:, 1], high[:, 1], low[:, 0], high[:, 0]


def _near_crossings(corner: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """Pixels [n, pairs, 2] where lines between corners cross the near plane, NaN where not."""
    first, second = np.triu_indices(corner.shape[1], 1)
    one, two = corner[:, first], corner[:, second]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (_NEAR - one[:, :, 2]) / (two[:, :, 2] - one[:, :, 2])
        crossing = one + share[:, :, None] * (two - one)
    crossing[ahead[:, first] == ahead[:, second]] = np.nan
    return crossing[:, :, :2] / _NEAR


def _rows(index: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = high - low + 1
    offset = np.cumsum(count) - count
    row = np.arange(count.sum()) + np.repeat(low - offset, count)
    return np.repeat(index, count), row


def _at_pairs(pairs: _Candidates, matrix: np.ndarray) -> list[np.ndarray]:
    """matrix [n, 3, 3] @ (u, v, 1) for every pair: three arrays [pairs]."""
    m = matrix.take(pairs.primitive, axis=0)
    column = pairs.spread(pairs.first) + pairs.step
    start = m[:, :, 1] * pairs.row[:, None] + m[:, :, 2]
    return [pairs.spread(m[:, i, 0]) * column + pairs.spread(start[:, i]) for i in range(3)]
