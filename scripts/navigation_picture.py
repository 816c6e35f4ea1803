# SPDX-License-Identifier: Apache-2.0
"""Draws docs/images/clearing.png: what Nav2 clears with one observation source, and with two.

python scripts/navigation_picture.py
"""

from pathlib import Path

import numpy as np
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

ROOT = Path(__file__).parents[1]
CAMERA = np.array([0.0, 1.0])
"""Distance and height, metres."""
BOX = (2.0, 2.5, 0.5)
"""Where the obstacle stood: from, to, height."""
ANGLES = np.deg2rad(np.arange(-42, 10, 4))
"""Directions of the rays, above the horizon."""
WALL = 5.0
"""Distance of the background."""


def main() -> None:
    """Write the picture."""
    costmap = yaml.safe_load((ROOT / "config/nav2_voxel.yaml").read_text())
    layer = costmap["local_costmap"]["local_costmap"]["ros__parameters"]["voxel_layer"]
    low, high = layer["mark"]["min_obstacle_height"], layer["mark"]["max_obstacle_height"]
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots(2, sharex=True)
    titles = (
        "one source that marks and clears: points outside the band are dropped, the box stays",
        "two sources: every ray clears up to its point, the box goes",
    )
    for panel, title, band in zip(axes, titles, ((low, high), (-100, 100)), strict=True):
        _draw(panel, band, (low, high), layer["z_resolution"])
        panel.set_title(title, fontsize=10)
        panel.set_ylabel("height, m")
    axes[1].set_xlabel("distance, m")
    figure.savefig(ROOT / "docs/images/clearing.png", dpi=100)


def _draw(panel: Axes, kept: tuple[float, float], band: tuple[float, float], z: float) -> None:
    """The rays after the box was taken away; those whose end is in `kept` clear."""
    panel.axhspan(*band, color="tab:blue", alpha=0.08)
    panel.text(0.05, band[1] - 0.16, "band that marks", color="tab:blue", fontsize=8)
    panel.axhline(0, color="0.3")
    panel.plot([WALL, WALL], [0, 1.9], color="0.3")
    cleared = []
    for angle in ANGLES:
        direction = np.array([np.cos(angle), np.sin(angle)])
        reach = WALL / direction[0]
        if angle < 0:
            reach = min(reach, -CAMERA[1] / direction[1])
        end = CAMERA + reach * direction
        clears = kept[0] <= end[1] <= kept[1]
        style = {"color": "tab:green", "lw": 1.4} if clears else {"color": "0.7", "ls": ":"}
        panel.plot(*np.stack((CAMERA, end)).T, **style)
        panel.plot(*end, marker="o" if clears else "x", ms=4, color=style["color"])
        if clears:
            cleared.append(direction)
    for x in np.arange(BOX[0], BOX[1], 0.25):
        for bottom in np.arange(0, BOX[2], z):
            corners = np.array([[x, bottom], [x + 0.25, bottom + z]]) - CAMERA
            slopes = [d[1] / d[0] for d in cleared]
            least, most = corners[0, 1] / corners[0, 0], corners[1, 1] / corners[0, 0]
            stays = not any(least <= slope <= most for slope in slopes)
            face = {"facecolor": "tab:red", "alpha": 0.75} if stays else {"fill": False, "ls": "--"}
            panel.add_patch(Rectangle((x, bottom), 0.25, z, edgecolor="tab:red", **face))
    panel.plot(*CAMERA, marker=">", ms=11, color="k")
    panel.set(xlim=(-0.15, WALL + 0.15), ylim=(-0.12, 1.95), aspect="equal")


if __name__ == "__main__":
    main()
