# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth image`: depth of images and folders of images."""

import argparse
import sys
from pathlib import Path

from sharpdepth_ros.cli.options import add_model_options, announce

SOME_FAILED = 1


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Declare the subcommand."""
    image = commands.add_parser(
        "image",
        help="depth of images and folders of images",
        description="Write the depth of images: 16-bit PNG (millimetres), .npy (metres), a colour "
        "preview, a .ply cloud and a .json with the camera and timings.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    image.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="image or folder")
    image.add_argument("--output", type=Path, required=True, metavar="DIR", help="results go here")
    image.add_argument(
        "--intrinsics",
        metavar="CAMERA",
        help="fx,fy,cx,cy in pixels or a .npy, .txt, .json or .yaml file; without it the metric "
        "model's own estimate is used",
    )
    image.add_argument(
        "--formats",
        default="png,npy,preview,ply",
        help="which files to write, separated by commas",
    )
    image.add_argument("--mode", default="sharpdepth", choices=("sharpdepth", "aligned", "metric"))
    add_model_options(image)
    image.set_defaults(run=_image)


def _image(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from sharpdepth_ros import SharpDepthPipeline
    from sharpdepth_ros.recordings.images import FORMATS, find_images, process_images
    from sharpdepth_ros.recordings.intrinsics_files import read_intrinsics

    formats = [part.strip() for part in options.formats.split(",")]
    if unknown := set(formats) - set(FORMATS):
        raise ValueError(f"--formats {', '.join(sorted(unknown))}: known are {', '.join(FORMATS)}")
    jobs = find_images(options.inputs, options.output)
    intrinsics = None if options.intrinsics is None else read_intrinsics(options.intrinsics)
    announce(options.model, options.metric_model)
    pipe = SharpDepthPipeline.from_pretrained(
        options.model,
        metric_model=options.metric_model,
        generator=options.generator,
        generator_options=dict(options.generator_option),
        device=options.device,
        precision=options.precision,
        compile=options.compile,
        preset=options.preset,
        tiny_vae=options.tiny_vae,
    )

    def infer(rgb):
        return pipe(
            rgb,
            intrinsics,
            mode=options.mode,
            processing_resolution=options.processing_resolution,
            lotus_steps=options.lotus_steps,
            seed=options.seed,
        )

    with tqdm(total=len(jobs), unit="image") as bar:

        def on_done(job, out):
            bar.update()
            if options.mode != "metric" and not out.aligned:
                bar.write(f"{job.source}: no sound alignment; wrote the metric model's depth")

        failures = process_images(jobs, infer, formats, on_done)
    for source, reason in failures.items():
        print(f"sharpdepth: {source} was left out: {reason}", file=sys.stderr)
    print(f"{len(jobs) - len(failures)} of {len(jobs)} images written to {options.output}")
    return SOME_FAILED if failures else 0
