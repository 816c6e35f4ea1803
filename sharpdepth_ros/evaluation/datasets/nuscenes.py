# SPDX-License-Identifier: Apache-2.0
"""nuScenes: depth from the lidar sweep nearest to a camera's key frame, projected into it."""

import json
from functools import cached_property
from pathlib import Path

import numpy as np

from sharpdepth_ros.evaluation.datasets.base import DepthDataset, MissingData, Sample, everywhere

VALIDATION_SCENES = (
    "3 12-18 35-36 38-39 92-110 221 268-278 329-332 344-346 519-524 552-565 625-627 629-630 "
    "632-638 770-771 775 777-778 780-784 794-800 802 904-917 919-931 962-963 966-969 971-972 "
    "1059-1073"
)
"""Numbers of the 150 scenes of the validation split (the devkit's splits.py)."""

NEAREST = 1.0
"""Metres; nearer lidar points hit the car itself (the devkit's map_pointcloud_to_image)."""

VERSIONS = ("v1.0-trainval", "v1.0-mini")


class NuScenes(DepthDataset):
    """Key frames of one camera: of the validation scenes, or of all scenes of the mini set.

    Lidar and camera look at different times, so points go through the car's pose at each. Where
    several points fall on a pixel the nearest counts.

    Args:
        root: holds VERSION/*.json, samples/CAMERA/ and samples/LIDAR_TOP/; other arguments as in
            `DepthDataset`.
        camera: the channel.
    """

    key = "nuscenes"
    title = "nuScenes"
    min_depth = 1e-3
    max_depth = 80.0
    how_to_get = (
        "From nuscenes.org take v1.0-trainval (metadata and the blobs with samples/) or v1.0-mini, "
        "and unpack it at the root: v1.0-trainval/sample_data.json and the other tables, "
        "samples/CAM_FRONT/NAME.jpg, samples/LIDAR_TOP/NAME.pcd.bin."
    )

    def __init__(self, root, *, camera: str = "CAM_FRONT", **options):
        self._channel = camera
        super().__init__(root, **options)

    def _find(self) -> list[str]:
        return list(self._frames)

    def _read(self, image: str) -> Sample:
        if image not in self._frames:
            raise MissingData(f"{image} is not a key frame of {self._channel} in {self._tables}")
        camera, lidar = self._frames[image]
        rgb = self._rgb(image)
        sensor = self._table("calibrated_sensor")[camera["calibrated_sensor_token"]]
        intrinsics = np.array(sensor["camera_intrinsic"], dtype=np.float64)
        points = np.fromfile(self._file(lidar["filename"]), "<f4").reshape(-1, 5)[:, :3]
        to_camera = np.linalg.inv(self._pose(camera)) @ self._pose(lidar)
        seen = points @ to_camera[:3, :3].T + to_camera[:3, 3]
        depth = project_points(seen, intrinsics, rgb.shape[:2])
        return Sample(self._name(image), rgb, depth, everywhere(depth), intrinsics)

    @cached_property
    def _tables(self) -> Path:
        found = [self.root / v for v in VERSIONS if (self.root / v).is_dir()]
        if not found:
            raise MissingData(f"{self.root}/v1.0-trainval is missing. {self.how_to_get}")
        return found[0]

    @cached_property
    def _frames(self) -> dict[str, tuple[dict, dict]]:
        """Camera and lidar records of each key frame, by the image's path."""
        mini = self._tables.name == "v1.0-mini"
        scenes = {
            token
            for token, scene in self._table("scene").items()
            if mini or scene["name"] in validation_scenes()
        }
        samples = self._table("sample")
        records: dict[str, dict[str, dict]] = {}
        for record in self._table("sample_data").values():
            if record["is_key_frame"] and samples[record["sample_token"]]["scene_token"] in scenes:
                channel = Path(record["filename"]).parts[1]
                records.setdefault(record["sample_token"], {})[channel] = record
        pairs = [
            (channels[self._channel], channels["LIDAR_TOP"])
            for channels in records.values()
            if {self._channel, "LIDAR_TOP"} <= set(channels)
        ]
        pairs.sort(key=lambda pair: pair[0]["timestamp"])
        return {camera["filename"]: (camera, lidar) for camera, lidar in pairs}

    def _table(self, name: str) -> dict[str, dict]:
        """A table's records by token; read once."""
        cache = self.__dict__.setdefault("_cache", {})
        if name not in cache:
            path = self._file(f"{self._tables.name}/{name}.json")
            cache[name] = {record["token"]: record for record in json.loads(path.read_text())}
        return cache[name]

    def _pose(self, record: dict) -> np.ndarray:
        """Sensor to world at the record's time, [4, 4]."""
        sensor = self._table("calibrated_sensor")[record["calibrated_sensor_token"]]
        car = self._table("ego_pose")[record["ego_pose_token"]]
        return _transform(car) @ _transform(sensor)


def validation_scenes() -> set[str]:
    """Names of the validation split's scenes."""
    names = set()
    for part in VALIDATION_SCENES.split():
        first, _, last = part.partition("-")
        names |= {f"scene-{i:04d}" for i in range(int(first), int(last or first) + 1)}
    return names


def project_points(points: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Points [N, 3] of the camera's frame as depth float32 [H, W]; nan where none falls."""
    points = points[points[:, 2] > NEAREST]
    pixels = points @ intrinsics.T
    columns, rows = np.rint(pixels[:, :2] / pixels[:, 2:]).astype(np.int64).T
    height, width = size
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    depth = np.full(size, np.inf, np.float32)
    np.minimum.at(depth, (rows[inside], columns[inside]), points[inside, 2].astype(np.float32))
    return np.where(np.isfinite(depth), depth, np.nan)


def _transform(record: dict) -> np.ndarray:
    """A record's translation and rotation (quaternion w x y z) as [4, 4]."""
    w, x, y, z = np.array(record["rotation"]) / np.linalg.norm(record["rotation"])
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = record["translation"]
    return matrix
