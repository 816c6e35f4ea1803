# SPDX-License-Identifier: Apache-2.0
"""Draws the README's pictures from the demo weights and synthetic frames that no training saw.

    python scripts/readme_pictures.py [--model DIR --metric-model DIR] [--frames 4,30] [--list]

Writes docs/images/maps.png (image, metric model alone, SharpDepth, exact depth) and
docs/images/turntable.webp (both clouds turning, same view). `--list` draws a contact sheet of
held-out frames to choose from instead.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.io.colormap import colorize_depth, near_far
from sharpdepth_ros.synthetic import Frame, SampleOptions, render_sample
from sharpdepth_ros.training.diffusers_folder import find_checkpoint
from sharpdepth_ros.viewing.clouds import cloud_of_depth
from sharpdepth_ros.viewing.turntable import View, beside, labelled, write_turntable

HELD_OUT_SEED = 900001
"""Of scripts/train_demo.sh: no training uses it."""

MOST_BYTES = 300_000
"""A picture that is larger is refused: the repository is not the place for it."""

SHOWN = (320, 240)
FAR = 15.0
"""Metres: what the demo models were taught, and where clouds end."""


def main() -> None:
    """Draw the pictures, or the contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="the sharpener: a name or a folder")
    parser.add_argument("--metric-model", default="demo", help="a name or a folder")
    parser.add_argument("--kind", default="room", help="of the scenes")
    parser.add_argument("--frames", default="44,67", help="numbers; the first one turns")
    parser.add_argument("--width", type=int, default=160, help="of the frames, pixels")
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--list", action="store_true", help="draw held-out frames to choose from")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.list:
        _contact_sheet(options)
        return
    pipe = SharpDepthPipeline.from_pretrained(
        find_checkpoint(options.model, "sharpener", "generator"),
        metric_model=find_checkpoint(options.metric_model, "metric"),
        device="cpu",
    )
    frames = [_render(options, int(number)) for number in options.frames.split(",")]
    outputs = [
        pipe(f.rgb, f.intrinsics.astype(np.float32), processing_resolution=0) for f in frames
    ]
    rows = [
        _maps(frame, out, first)
        for first, (frame, out) in enumerate(zip(frames, outputs, strict=True))
    ]
    path = options.output / "maps.png"
    Image.fromarray(beside(rows, axis=0)).save(path, optimize=True)
    _check(path)

    frame, out = frames[0], outputs[0]
    height, width = out.depth.shape
    camera = CameraModel.from_matrix(frame.intrinsics, width, height)
    clouds = {
        "metric model alone": cloud_of_depth(out.metric_depth, camera, frame.rgb),
        "SharpDepth": cloud_of_depth(out.depth, camera, frame.rgb),
    }
    path = options.output / "turntable.webp"
    write_turntable(path, clouds, View(*SHOWN, far=FAR), frames=24, fps=10)
    _check(path)


def _render(options: argparse.Namespace, number: int) -> Frame:
    samples = SampleOptions(
        HELD_OUT_SEED,
        options.width,
        options.width * SHOWN[1] // SHOWN[0],
        options.kind,
        random_sensor=False,
    )
    return render_sample(samples, number).frame


def _maps(frame: Frame, out, row: int) -> np.ndarray:
    """Image and depth maps in one range of colours; the first row has labels."""
    near, far = near_far(frame.depth[frame.depth < FAR])
    maps = {
        "image": frame.rgb,
        "metric model alone": colorize_depth(out.metric_depth, near, far),
        "SharpDepth": colorize_depth(out.depth, near, far),
        "exact depth": colorize_depth(np.minimum(frame.depth, FAR), near, far),
    }
    return beside([labelled(_shown(m), "" if row else name) for name, m in maps.items()])


def _shown(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize(SHOWN, Image.Resampling.BILINEAR))


def _contact_sheet(options: argparse.Namespace) -> None:
    rows = []
    for start in range(0, 96, 8):
        numbers = range(start, start + 8)
        rows.append(beside([labelled(_render(options, n).rgb, str(n)) for n in numbers]))
    path = options.output / "held_out.png"
    Image.fromarray(beside(rows, axis=0)).save(path)
    print(f"{path}: choose with --frames, and do not commit it")


def _check(path: Path) -> None:
    size = path.stat().st_size
    print(f"{path}: {size / 1000:.0f} kB")
    if size > MOST_BYTES:
        raise SystemExit(f"{path} is larger than {MOST_BYTES / 1000:.0f} kB: show fewer frames")


if __name__ == "__main__":
    main()
