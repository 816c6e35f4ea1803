# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth view`, `report` and `turntable`: to look at depth."""

import argparse
import sys
from contextlib import suppress
from itertools import chain
from pathlib import Path

from sharpdepth_ros.cli.options import (
    add_model_options,
    announce,
    call_options,
    load_pipeline,
)

SOME_FAILED = 1

INPUTS = (
    "images or folders of images (their depth is computed), a ROS 2 bag with depth, a folder that "
    "`sharpdepth image` or ~/save_snapshot wrote, or a .rrd file of `sharpdepth view --save`"
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Declare the subcommands."""
    _add_view(commands)
    _add_report(commands)
    _add_turntable(commands)


def _add_view(commands: argparse._SubParsersAction) -> None:
    view = commands.add_parser(
        "view",
        help="look at depth in Rerun: images, a bag with depth, or a running node",
        description="Show image, depth, cloud, discrepancy and times on one timeline, in a "
        "window, in a browser (--serve), or kept in a file (--save).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    view.add_argument("inputs", nargs="*", type=Path, metavar="INPUT", help=INPUTS)
    view.add_argument("--live", action="store_true", help="follow the topics of a running node")
    view.add_argument("--save", type=Path, metavar="FILE.rrd", help="write a file, open nothing")
    view.add_argument("--serve", action="store_true", help="serve the viewer to browsers")
    view.add_argument(
        "--host", default="localhost", help="this machine's name, as the browser knows it"
    )
    view.add_argument("--port", type=int, default=9090, help="TCP port of the page, with --serve")
    view.add_argument(
        "--data-port", type=int, default=9876, help="TCP port of the data, with --serve"
    )
    view.add_argument(
        "--point-stride", type=int, default=2, help="show every n-th row and column of a cloud"
    )
    view.add_argument(
        "--no-points",
        dest="points",
        action="store_false",
        help="with --live: make the cloud here, do not subscribe to it",
    )
    _add_source_options(view)
    view.set_defaults(run=_view)


def _add_report(commands: argparse._SubParsersAction) -> None:
    report = commands.add_parser(
        "report",
        help="write one HTML file about a run: pictures, clouds, times, problems",
        description="The file needs nothing else: pictures and plots are in it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    report.add_argument("inputs", nargs="+", type=Path, metavar="RUN", help=INPUTS)
    report.add_argument("--output", type=Path, default=Path("report.html"), metavar="FILE.html")
    report.add_argument("--pictures", type=int, default=6, help="frames to show")
    _add_source_options(report)
    report.set_defaults(run=_report)


def _add_turntable(commands: argparse._SubParsersAction) -> None:
    turntable = commands.add_parser(
        "turntable",
        help="turn point clouds: GIF, WebP, MP4 or PNG",
        description="Clouds are shown side by side, in the same view. Of anything but .ply files, "
        "the metric model alone is shown beside SharpDepth.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    turntable.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help=f".ply clouds; or {INPUTS}"
    )
    turntable.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help=".gif, .webp or .mp4 turns; .png has three views of each cloud",
    )
    turntable.add_argument("--labels", help="labels of the clouds, separated by commas")
    turntable.add_argument("--frame", type=int, default=0, help="which frame of a run, from 0")
    turntable.add_argument("--alone", action="store_true", help="leave the metric model out")
    turntable.add_argument("--size", default="360x270", help="pixels of each cloud's picture")
    turntable.add_argument("--frames", type=int, default=24, help="pictures of one orbit")
    turntable.add_argument("--fps", type=float, default=10.0, help="pictures per second")
    turntable.add_argument(
        "--orbit",
        default="swing",
        choices=("swing", "full"),
        help="in front of the scene, or all around it",
    )
    turntable.add_argument("--yaw", type=float, default=28.0, help="degrees to either side")
    turntable.add_argument("--pitch", type=float, default=8.0, help="degrees up and down")
    turntable.add_argument("--far", type=float, help="metres beyond which nothing is shown")
    turntable.add_argument(
        "--colours", default="image", choices=("image", "depth"), help="what colours the points"
    )
    turntable.add_argument("--palette", type=int, default=128, help="colours of a GIF, 2 to 256")
    _add_source_options(turntable)
    turntable.set_defaults(run=_turntable)


def _add_source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, help="take only the first so many frames")
    parser.add_argument(
        "--namespace", help="namespace of the node, where there are several cameras"
    )
    parser.add_argument(
        "--image-topic", metavar="TOPIC", help="topic of the camera's images, where it is not found"
    )
    parser.add_argument(
        "--intrinsics",
        metavar="CAMERA",
        help="camera of the images: fx,fy,cx,cy in pixels, or a file",
    )
    parser.add_argument("--mode", default="sharpdepth", choices=("sharpdepth", "aligned", "metric"))
    add_model_options(parser)


def _open_run(options: argparse.Namespace, only: int | None = None):
    """The run of the inputs; `only` is the number of the one frame that is wanted."""
    from tqdm import tqdm

    from sharpdepth_ros.viewing.sources import open_run

    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit is {options.limit}; give 1 or more frames")

    def run_images(inputs):
        from sharpdepth_ros.io.intrinsics_files import read_intrinsics
        from sharpdepth_ros.viewing.image_run import images_of, run_of_images

        images_of(inputs, only)  # what is wrong with the inputs is said before models load
        intrinsics = None if options.intrinsics is None else read_intrinsics(options.intrinsics)
        announce(options.model, options.metric_model)
        pipe = load_pipeline(options)

        settings = {
            "sharpener": options.model,
            "metric model": options.metric_model,
            "generator": options.generator or "the sharpener",
            "device": str(pipe.device),
            "precision": options.precision,
            "preset": options.preset,
            "intrinsics": options.intrinsics or "the metric model's estimate",
        }
        calls = call_options(options)
        if calls["processing_resolution"] is None:
            calls["processing_resolution"] = pipe.processing_resolution
        calls["fit"] = calls["fit"] or pipe.fit
        settings |= {name.replace("_", " "): str(value) for name, value in calls.items()}

        def infer(picture):
            return pipe(picture.rgb, picture.intrinsics, seen=picture.seen, **calls)

        return run_of_images(inputs, infer, settings, options.mode, intrinsics, only)

    run = open_run(options.inputs, run_images, options.namespace, options.image_topic, only)
    run.limit(options.limit)
    run.frames = tqdm(run.frames, unit="frame", total=options.limit, disable=None)
    return run


def _view(options: argparse.Namespace) -> int:
    if options.live == bool(options.inputs):
        raise ValueError("give either INPUT or --live")
    if options.save is not None and options.serve:
        raise ValueError("give either --save or --serve")
    # First of all: rclpy of the wheels starts the process again, to set its library path.
    follow = _import_follow() if options.live else None
    try:
        from sharpdepth_ros.viewing.rerun_log import FRAME, STAMP, RerunLog
    except ImportError as error:
        raise ValueError(str(error)) from error
    if options.save is not None:
        _require_output(options.save, ".rrd")
    if follow is not None:
        return _view_live(options, RerunLog("live", options.point_stride), follow)
    run = _open_run(options)
    frames = iter(run.frames)
    first = next(frames, None)
    if first is None:
        return _nothing(run)
    log = RerunLog(run.title, options.point_stride, FRAME if first.stamp is None else STAMP)
    where = _start(log, options)
    for frame in chain([first], frames):
        log.log(frame)
    log.note(run)
    _finish(log, options, where)
    _tell(run.notes)
    _wait_for_browser(options)
    log.close()
    return SOME_FAILED if run.problems else 0


def _import_follow():
    try:
        from sharpdepth_ros.viewing.live import follow
    except ImportError as error:
        raise ValueError(
            f"--live needs ROS 2 ({error}): source your ROS installation, or install the wheels "
            "with pip install 'sharpdepth_ros[ros]'"
        ) from error
    return follow


def _view_live(options: argparse.Namespace, log, follow) -> int:
    from sharpdepth_ros.viewing.frames import Run

    where = []
    settings, problems = follow(
        log.log,
        # Not before: what cannot join leaves the file that is there as it is.
        on_joined=lambda: where.append(_start(log, options)),
        image=options.image_topic or "image",
        namespace=options.namespace or "",
        points=options.points,
        frames=options.limit,
    )
    origin = {"source": "topics of a running node", "namespace": options.namespace or "/"}
    log.note(Run("live", [], origin | settings, problems))
    _finish(log, options, where[0])
    _tell(problems)
    if options.limit is not None:
        _wait_for_browser(options)
    log.close()
    return 0 if log.frames else SOME_FAILED


def _start(log, options: argparse.Namespace) -> str:
    """Give the log its target; says where the frames are going to be."""
    if options.save is not None:
        log.save(options.save)
        return f"written to {options.save}; open it with: rerun {options.save}"
    if options.serve:
        address = log.serve(options.host, options.port, options.data_port)
        print(f"open {address}", flush=True)
        return f"served at {address}"
    log.spawn()
    return "shown in the Rerun viewer"


def _finish(log, options: argparse.Namespace, where: str) -> None:
    """Say how many frames there are: of a file, those that it holds."""
    if options.save is None:
        log.flush()
        print(f"{log.frames} frames {where}")
        return
    from sharpdepth_ros.viewing.rerun_run import count_frames

    log.close()
    written = count_frames(options.save)
    if written != log.frames:
        raise ValueError(
            f"{options.save} holds {written} of {log.frames} frames: is the disk full?"
        )
    print(f"{written} frames {where}")


def _require_output(path: Path, *suffixes: str) -> None:
    """Raise ValueError, before the work, where the output cannot be written."""
    from sharpdepth_ros.io.atomic_files import require_writable

    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} does not end in {' or '.join(suffixes)}: give another name")
    require_writable(path)


def _wait_for_browser(options: argparse.Namespace) -> None:
    if options.serve:
        import threading

        with suppress(KeyboardInterrupt):  # who reads the line may be quicker than the next one
            print("Ctrl-C ends the server", flush=True)
            threading.Event().wait()


def _report(options: argparse.Namespace) -> int:
    from sharpdepth_ros.viewing.report import write_report

    _require_output(options.output, ".html", ".htm")
    if options.pictures < 1:
        raise ValueError(f"{options.pictures} pictures: give 1 or more")
    run = _open_run(options)
    count = write_report(run, options.output, options.pictures)
    if not count:
        return _nothing(run)
    size = options.output.stat().st_size
    print(f"{count} frames, written to {options.output} ({size / 1000:.0f} kB)")
    _tell(run.notes)
    return SOME_FAILED if run.problems else 0


def _turntable(options: argparse.Namespace) -> int:
    from sharpdepth_ros.viewing.animation import SUFFIXES
    from sharpdepth_ros.viewing.turntable import View, check_turntable, write_turntable

    width, cross, height = options.size.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise ValueError(f"--size {options.size!r} is not WIDTHxHEIGHT, such as 360x270")
    if options.output.suffix.lower() not in (*SUFFIXES, ".png"):
        raise ValueError(f"--output {options.output}: give {', '.join(SUFFIXES)} or .png")
    view = View(
        int(width),
        int(height),
        options.orbit,
        options.yaw,
        options.pitch,
        options.far,
        options.colours,
    )
    files = _cloud_files(options)
    alone = options.alone or options.mode == "metric"
    most = len(files) or (1 if alone else 2)
    arguments = options.frames, options.fps, options.palette
    check_turntable(options.output, most, view, *arguments)
    clouds = _read_clouds(files) if files else _clouds_of_run(options)
    if options.labels is not None:
        labels = options.labels.split(",")
        if len(labels) != len(clouds):
            raise ValueError(f"--labels has {len(labels)} labels for {len(clouds)} clouds")
        clouds = dict(zip(labels, clouds.values(), strict=True))
    count = write_turntable(options.output, clouds, view, *arguments)
    size = options.output.stat().st_size
    frames = "1 picture" if count == 1 else f"{count} pictures"
    print(f"{', '.join(clouds)}: written to {options.output} ({frames}, {size / 1000:.0f} kB)")
    return 0


def _cloud_files(options: argparse.Namespace) -> list[Path]:
    """The inputs if they are clouds, else none."""
    clouds = all(path.suffix.lower() == ".ply" for path in options.inputs)
    return options.inputs if clouds else []


def _read_clouds(files: list[Path]):
    """Label -> cloud."""
    from sharpdepth_ros.viewing.clouds import read_cloud
    from sharpdepth_ros.viewing.frames import MOST_PIXELS

    distinct = len({path.stem for path in files}) == len(files)
    return {path.stem if distinct else str(path): read_cloud(path, MOST_PIXELS) for path in files}


def _clouds_of_run(options: argparse.Namespace):
    """Label -> cloud, of the chosen frame."""
    if options.frame < 0:
        raise ValueError(f"--frame is {options.frame}; frames count from 0")
    if options.limit is not None and options.frame >= options.limit:
        raise ValueError(f"--limit {options.limit} leaves no frame {options.frame}")
    run = _open_run(options, options.frame)
    frame = next(iter(run.frames), None)
    _tell(run.notes)
    if frame is None:
        raise ValueError(f"{run.title} has no frame {options.frame} that can be read")
    frame = frame.thinned()
    clouds = {"metric alone": frame.metric_cloud(), frame.method: frame.cloud()}
    if options.alone:
        del clouds["metric alone"]
    clouds = {label: cloud for label, cloud in clouds.items() if cloud is not None}
    if frame.method not in clouds:
        raise ValueError(
            f"{frame.name} has no cloud: its camera is not known or no depth is valid; for images, "
            "give --intrinsics"
        )
    return clouds


def _nothing(run) -> int:
    _tell(run.notes)
    print(f"sharpdepth: {run.title} has no frame to show", file=sys.stderr)
    return SOME_FAILED


def _tell(problems: list[str]) -> None:
    for problem in problems:
        print(f"sharpdepth: {problem}", file=sys.stderr)
