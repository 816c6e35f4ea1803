# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth synth` and `train`: a world to train in, and the training."""

import argparse
import sys
from pathlib import Path

FAILED = 1


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Declare the subcommands."""
    synth = commands.add_parser(
        "synth",
        help="write a data set of procedural scenes with exact depth",
        description="Render scenes to a folder; run it again to continue. The layout is described "
        "in sharpdepth_ros/synthetic/dataset.py.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    synth.add_argument("output", type=Path, metavar="DIR")
    synth.add_argument("--frames", type=int, default=1000)
    synth.add_argument("--kind", default="random", help="room, corridor, street, shapes or random")
    synth.add_argument("--width", type=int, default=320, help="pixels")
    synth.add_argument("--height", type=int, default=240, help="pixels")
    synth.add_argument("--seed", type=int, default=0)
    synth.add_argument("--views-per-scene", type=int, default=4)
    synth.add_argument("--video", action="store_true", help="views follow a camera path")
    synth.add_argument("--fps", type=float, default=20.0, help="of the video")
    synth.add_argument("--depth-format", default="png", choices=("png", "npy", "both"))
    synth.add_argument("--workers", type=int, default=1, help="processes")
    synth.set_defaults(run=_synth)

    train = commands.add_parser(
        "train",
        help="train the sharpener on your images, or the small models from nothing",
        description="docs/training.md has the steps. Options of a configuration are overridden as "
        "section.name=value.",
    )
    train.add_argument("stage", choices=("metric", "vae", "tiny-vae", "lotus", "sharpen"))
    train.add_argument("--config", type=Path, metavar="FILE", help="a file of config/train/")
    train.add_argument("overrides", nargs="*", metavar="section.name=value")
    train.set_defaults(run=_train)


def _synth(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from sharpdepth_ros.synthetic import SampleOptions, write_dataset

    settings = SampleOptions(
        seed=options.seed,
        width=options.width,
        height=options.height,
        kind=options.kind,
        views_per_scene=options.views_per_scene,
        video=options.video,
        fps=options.fps,
    )
    try:
        with tqdm(total=options.frames, unit="frame") as bar:

            def progress(done: int, total: int) -> None:
                bar.update(done - bar.n)

            report = write_dataset(
                options.output,
                options.frames,
                options=settings,
                depth_format=options.depth_format,
                workers=options.workers,
                progress=progress,
            )
    except OSError as error:
        print(
            f"sharpdepth: {options.output} cannot be written ({error}); the same command continues "
            "from the frames that are complete",
            file=sys.stderr,
        )
        return FAILED
    print(f"{report.written} frames written to {report.path}, {report.skipped} were there already")
    return 0


def _train(options: argparse.Namespace) -> int:
    from sharpdepth_ros.training import train

    return train(options.stage, options.config, options.overrides)
