# SPDX-License-Identifier: Apache-2.0
"""The `sharpdepth` command: parses arguments and hands over to the room that does the work."""

import argparse
import sys
from pathlib import Path

BAD_INPUT = 1
BAD_USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, FileNotFoundError) as error:
        print(f"sharpdepth: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sharpdepth", description="Sharp metric depth from one camera."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

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
    _add_model_options(image)
    image.set_defaults(run=_image)

    models = commands.add_parser("models", help="the models known by name")
    models.set_defaults(run=_models)

    _add_weights_parser(commands)

    doctor = commands.add_parser(
        "doctor", help="check this machine: versions, GPU, memory, ROS, DDS, weights"
    )
    doctor.add_argument("--json", action="store_true", help="for machines")
    doctor.set_defaults(run=_doctor)

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
    train.add_argument("stage", choices=("metric", "vae", "lotus", "sharpen"))
    train.add_argument("--config", type=Path, metavar="FILE", help="a file of config/train/")
    train.add_argument("overrides", nargs="*", metavar="section.name=value")
    train.set_defaults(run=_train)

    demo = commands.add_parser(
        "demo",
        help="run the ROS 2 node on a synthetic camera and measure it",
        description="Start a camera and the sharpdepth node as ROS 2 processes, print the latency "
        "of each frame, and write a picture of the last one.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--frames", type=int, default=30, help="frames to wait for")
    demo.add_argument("--output", type=Path, default=Path("output/demo"), metavar="DIR")
    demo.add_argument(
        "--images", type=Path, help="publish this folder instead of the synthetic camera"
    )
    demo.add_argument("--width", type=int, default=320, help="of the camera, pixels")
    demo.add_argument("--height", type=int, default=240, help="of the camera, pixels")
    demo.add_argument("--rate", type=float, default=10.0, help="of the camera, frames per second")
    demo.add_argument("--timeout", type=float, default=180.0, help="seconds for all frames")
    demo.set_defaults(run=_demo)
    return parser


def _add_weights_parser(commands: argparse._SubParsersAction) -> None:
    weights = commands.add_parser("weights", help="fetch, list, verify and find model weights")
    actions = weights.add_subparsers(title="actions", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="bring a model's weights to this machine")
    fetch.add_argument("name", help="see `sharpdepth models`")
    fetch.add_argument(
        "--source", metavar="DIR-or-URL", help="a folder or a mirror instead of the publisher"
    )
    fetch.add_argument("--force", action="store_true", help="fetch again what is here already")
    fetch.set_defaults(run=_weights_fetch)
    listing = actions.add_parser("list", help="every model, and where its weights are")
    listing.set_defaults(run=_weights_list)
    verify = actions.add_parser("verify", help="compare weights with their checksums")
    verify.add_argument("names", nargs="*", help="default: everything that is here")
    verify.set_defaults(run=_weights_verify)
    path = actions.add_parser("path", help="print the folder of a model's weights")
    path.add_argument("name")
    path.set_defaults(run=_weights_path)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options of everything that builds a pipeline."""
    parser.add_argument("--model", default="demo", help="the sharpener: a name or a folder")
    parser.add_argument("--metric-model", default="demo", help="f_D: a name or a folder")
    parser.add_argument("--generator", help="f_G: a name or a folder; default: the sharpener")
    parser.add_argument(
        "--generator-option",
        action="append",
        default=[],
        type=_generator_option,
        metavar="NAME=NUMBER",
        help="for Marigold: steps=N, ensemble_size=N",
    )
    parser.add_argument("--mode", default="sharpdepth", choices=("sharpdepth", "aligned", "metric"))
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", help="auto, fp32, tf32, bf16 or fp16")
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    parser.add_argument(
        "--processing-resolution", type=int, default=768, help="longest edge; 0: the image's own"
    )
    parser.add_argument("--lotus-steps", type=int, default=1, help="denoising steps of f_G")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")


def _generator_option(text: str) -> tuple[str, int]:
    name, equals, number = text.partition("=")
    if not (name and equals and number.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER, such as steps=4")
    return name, int(number)


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
    _announce(options.model, options.metric_model)
    pipe = SharpDepthPipeline.from_pretrained(
        options.model,
        metric_model=options.metric_model,
        generator=options.generator,
        generator_options=dict(options.generator_option),
        device=options.device,
        precision=options.precision,
        compile=options.compile,
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
    return BAD_INPUT if failures else 0


def _models(options: argparse.Namespace) -> int:
    from sharpdepth_ros.weights.catalogue import models_table

    print(models_table())
    return 0


def _weights_fetch(options: argparse.Namespace) -> int:
    from sharpdepth_ros.weights.commands import run_fetch

    return run_fetch(options.name, options.source, options.force)


def _weights_list(options: argparse.Namespace) -> int:
    from sharpdepth_ros.weights.commands import run_list

    return run_list()


def _weights_verify(options: argparse.Namespace) -> int:
    from sharpdepth_ros.weights.commands import run_verify

    return run_verify(options.names)


def _weights_path(options: argparse.Namespace) -> int:
    from sharpdepth_ros.weights.commands import run_path

    return run_path(options.name)


def _doctor(options: argparse.Namespace) -> int:
    from sharpdepth_ros.doctor.report import run_doctor

    return run_doctor(options.json)


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
    print(f"{report.written} frames written to {report.path}, {report.skipped} were there already")
    return 0


def _train(options: argparse.Namespace) -> int:
    from sharpdepth_ros.training import train

    return train(options.stage, options.config, options.overrides)


def _demo(options: argparse.Namespace) -> int:
    try:
        import rclpy  # noqa: F401 - says whether there is a ROS, before anything is started
    except ImportError as error:
        raise ValueError(
            f"the demo needs ROS 2 ({error}): source your ROS installation, or install the wheels "
            "with pip install 'sharpdepth_ros[ros]'"
        ) from error
    from sharpdepth_ros.node.demo import run_demo

    return run_demo(
        frames=options.frames,
        output=options.output,
        images=options.images,
        size=(options.width, options.height),
        rate=options.rate,
        timeout=options.timeout,
    )


def _announce(*models: str) -> None:
    from sharpdepth_ros.weights.catalogue import DEMO_NOTICE

    if "demo" in models:
        print(DEMO_NOTICE, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
