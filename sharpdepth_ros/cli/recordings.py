# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth bag` and `sharpdepth bag extract`: ROS 2 bags, without ROS."""

import argparse
import importlib.util
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sharpdepth_ros.cli.options import announce

SOME_FAILED = 1
INTERRUPTED = 130

_SINGLE_FILES = {".db3": "sqlite3", ".mcap": "mcap"}


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Declare the subcommands."""
    bag = commands.add_parser(
        "bag",
        help="a copy of a ROS 2 bag with depth, camera_info and points in it",
        description="Copy a bag and add what the node would have published for its images. Run it "
        "again to go on after a kill. docs/recordings.md has examples.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    bag.add_argument("input", type=Path, metavar="IN", help="bag: folder, .db3 or .mcap")
    bag.add_argument("output", type=Path, metavar="OUT", help="new folder, or new .db3 or .mcap")
    _add_choice(bag)
    bag.add_argument(
        "--namespace", help="namespace of the new topics; with --cameras each camera has its own"
    )
    bag.add_argument(
        "--outputs",
        default="depth,camera_info,points",
        help="what to add: some of depth, camera_info, points, preview, discrepancy, metric",
    )
    bag.add_argument("--storage", choices=("sqlite3", "mcap"), help="default: the input's")
    bag.add_argument(
        "--compression",
        default="none",
        choices=("none", "file", "message", "storage"),
        help="zstd by file, by message or (mcap) by chunk",
    )
    bag.add_argument(
        "--checkpoint", type=float, default=5.0, help="minutes of work that a kill may cost"
    )
    bag.add_argument(
        "--restart", action="store_true", help="throw away what an unfinished run left"
    )
    bag.set_defaults(run=_bag)

    extract = commands.add_parser(
        "bag extract",
        help="frames of a bag as a folder for training or evaluation",
        description="Write the images of a bag, their camera and, given a depth topic, ground "
        "truth, in the layout that `sharpdepth evaluate --dataset folder` reads; its rgb folder is "
        "what `sharpdepth train sharpen` takes as images.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    extract.add_argument("input", type=Path, metavar="IN", help="bag: folder, .db3 or .mcap")
    extract.add_argument("output", type=Path, metavar="OUT", help="folder")
    _add_choice(extract)
    extract.add_argument("--depth", metavar="TOPIC", help="depth images of the same camera")
    extract.add_argument(
        "--min-interval", type=float, default=0.0, help="seconds between frames that are taken"
    )
    extract.add_argument(
        "--image-format",
        default="auto",
        choices=("auto", "png", "jpg"),
        help="auto: the recorded JPEG where the picture is not changed, else png",
    )
    extract.set_defaults(run=_extract)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", metavar="TOPIC", help="default: the bag's only colour camera")
    parser.add_argument("--camera-info", metavar="TOPIC", help="default: beside the image")
    parser.add_argument(
        "--cameras", default="", help="namespaces of several cameras, separated by commas"
    )
    parser.add_argument(
        "--intrinsics",
        metavar="CAMERA",
        help="instead of camera_info: fx,fy,cx,cy in pixels or a .npy, .txt, .json or .yaml file",
    )
    parser.add_argument(
        "--start",
        type=float,
        metavar="SECONDS",
        help="begin here: seconds of the recording, or a Unix time",
    )
    parser.add_argument("--end", type=float, metavar="SECONDS", help="end here: the same units")
    parser.add_argument("--every", type=int, default=1, help="take every n-th frame")
    parser.add_argument(
        "-p",
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the node, such as metric_model=demo (docs/parameters.md)",
    )
    parser.add_argument(
        "--params-file",
        action="append",
        default=[],
        type=Path,
        metavar="YAML",
        help="parameter file of the node (sharpdepth, in the namespace of the camera)",
    )


def _bag(options: argparse.Namespace) -> int:
    _need_rosbags()
    from tqdm import tqdm

    from sharpdepth_ros.node.frame_handler import build_pipeline
    from sharpdepth_ros.recordings.bags.depth import (
        OUTPUT_NAMES,
        CannotGoOn,
        DepthRun,
        Interrupted,
        add_depth,
    )
    from sharpdepth_ros.recordings.bags.frames import Selection
    from sharpdepth_ros.recordings.bags.node_parameters import read_parameters
    from sharpdepth_ros.recordings.bags.reading import Bag
    from sharpdepth_ros.recordings.bags.work_folder import BagForm

    parameters = read_parameters(
        options.params_file,
        options.param,
        _cameras(options) or [options.namespace or ""],
        lambda sentence: print(f"sharpdepth: {sentence}", file=sys.stderr),
    )
    outputs = [part.strip() for part in options.outputs.split(",")]
    if unknown := set(outputs) - set(OUTPUT_NAMES):
        raise ValueError(
            f"--outputs {', '.join(sorted(unknown))}: known are {', '.join(OUTPUT_NAMES)}"
        )
    single = _SINGLE_FILES.get(options.output.suffix)
    if single and options.storage not in (None, single):
        raise ValueError(f"{options.output} would be {single}, and --storage is {options.storage}")
    if options.output.resolve() == options.input.resolve():
        raise ValueError(f"{options.output} is the input, which is never touched")
    with Bag(options.input) as bag:
        intrinsics, cameras = _choice(bag, parameters, options, options.namespace, needed=True)
        run = DepthRun(
            cameras,
            parameters,
            [OUTPUT_NAMES[name] for name in outputs],
            Selection(options.start, options.end, options.every),
            BagForm(single or options.storage or bag.storage, options.compression, bool(single)),
            intrinsics,
            options.checkpoint * 60,
        )
        announce(parameters.model, parameters.metric_model)
        for camera in cameras:
            info = camera.info_name or "the given intrinsics"
            print(f"depth of {camera.image_name} with {info}", file=sys.stderr)
        with (
            _stop_on_signals() as stopped,
            tqdm(total=run.frames_expected(bag), unit="frame", smoothing=0.05) as bar,
        ):

            def on_frames(done: int) -> None:
                if done - bar.n > 1:  # of an earlier run: they say nothing about this one's speed
                    bar.initial = bar.n = done
                    bar.refresh()
                else:
                    bar.update(done - bar.n)

            try:
                report = add_depth(
                    bag,
                    options.output,
                    run,
                    build_pipeline,
                    restart=options.restart,
                    on_frames=on_frames,
                    stop=stopped,
                )
            except Interrupted:
                bar.close()
                print("sharpdepth: stopped; the same command goes on from here", file=sys.stderr)
                return INTERRUPTED
            except CannotGoOn as error:
                bar.close()
                print(
                    f"sharpdepth: {error}. What was done is kept: the same command goes on from "
                    "its last finished piece",
                    file=sys.stderr,
                )
                return SOME_FAILED
            bar.total = report.progress.frames
    for line in report.remarks.lines():
        print(f"sharpdepth: {line}", file=sys.stderr)
    for line in report.problems.lines():
        print(f"sharpdepth: {line}", file=sys.stderr)
    done = report.progress
    print(
        f"{options.output}: {done.frames} frames with depth, {done.added} messages added to "
        f"{done.copied} copied"
    )
    return SOME_FAILED if report.problems else 0


def _extract(options: argparse.Namespace) -> int:
    _need_rosbags()
    from tqdm import tqdm

    from sharpdepth_ros.recordings.bags.extract import Extraction, extract_frames
    from sharpdepth_ros.recordings.bags.frames import Selection
    from sharpdepth_ros.recordings.bags.node_parameters import read_parameters
    from sharpdepth_ros.recordings.bags.reading import Bag
    from sharpdepth_ros.recordings.images import Once

    parameters = read_parameters(
        options.params_file,
        options.param,
        _cameras(options) or [""],
        lambda sentence: print(f"sharpdepth: {sentence}", file=sys.stderr),
    )
    selection = Selection(options.start, options.end, options.every, options.min_interval)
    with Bag(options.input) as bag:
        intrinsics, cameras = _choice(bag, parameters, options, None, needed=False)
        run = Extraction(
            cameras,
            parameters,
            selection,
            options.depth,
            options.image_format,
            intrinsics,
            Once(lambda text: tqdm.write(f"sharpdepth: {text}", file=sys.stderr)),
        )
        with tqdm(unit="frame") as bar:
            count, problems = extract_frames(bag, options.output, run, bar.update)
    for line in problems.lines():
        print(f"sharpdepth: {line}", file=sys.stderr)
    print(f"{options.output}: {count} frames")
    return SOME_FAILED if problems else 0


def _choice(bag, parameters, options: argparse.Namespace, namespace: str | None, needed: bool):
    """The given intrinsics, and the cameras that the options stand for."""
    from dataclasses import replace

    from sharpdepth_ros.io.intrinsics_files import read_intrinsics
    from sharpdepth_ros.recordings.bags.cameras import choose_cameras

    intrinsics = None if options.intrinsics is None else read_intrinsics(options.intrinsics)
    cameras = choose_cameras(
        bag,
        parameters,
        cameras=_cameras(options),
        image=options.image,
        camera_info=options.camera_info,
        namespace=namespace,
        info_needed=needed and intrinsics is None,
    )
    if intrinsics is not None:
        cameras = [replace(camera, info=()) for camera in cameras]
    return intrinsics, cameras


def _cameras(options: argparse.Namespace) -> list[str]:
    return [name.strip() for name in options.cameras.split(",") if name.strip()]


def _need_rosbags() -> None:
    missing = [name for name in ("rosbags", "mcap") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"bags need {' and '.join(missing)}: pip install 'sharpdepth_ros[recordings]'"
        )


@contextmanager
def _stop_on_signals() -> Iterator:
    """Whether Ctrl-C or SIGTERM came. A second Ctrl-C ends the process as usual."""
    received = []

    def note(number: int, _: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    earlier = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
