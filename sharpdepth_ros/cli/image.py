# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth image` and `sharpdepth video`: depth of what was recorded as pictures."""

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sharpdepth_ros.cli.options import (
    NOT_DECIDING,
    add_model_options,
    announce,
    call_options,
    facts_of,
    load_pipeline,
)

SOME_FAILED = 1

#: Options of `image` and `video` that do not decide a result, and why.
NOT_DECIDING_HERE = NOT_DECIDING | {
    "inputs": "each result has the file that it was made from",
    "intrinsics": "each result has its camera, with the content of the file",
    "formats": "the files are looked for",
    "batch": "the answers are those of one image at a time",
    "workers": "they read and write files",
    "restart": "it does everything again",
}

T = TypeVar("T")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Declare the subcommands."""
    image = commands.add_parser(
        "image",
        help="depth of images and folders of images",
        description="Write the depth of images: 16-bit PNG (millimetres), .npy and .exr (metres), "
        "a colour preview, a .ply cloud and a .json with the camera and timings. Run it again to "
        "go on after a kill; `accelerate launch -m sharpdepth_ros.cli image` uses several GPUs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    image.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="image, folder or quoted pattern"
    )
    image.add_argument("--output", type=Path, required=True, metavar="DIR", help="results go here")
    image.add_argument(
        "--intrinsics",
        metavar="CAMERA",
        help="fx,fy,cx,cy in pixels, a .npy, .txt, .json, .yaml or .xml file, or a folder with "
        "such a file for each image; pictures are rectified where it describes a lens; without it "
        "the metric model's own estimate is used",
    )
    image.add_argument(
        "--formats",
        default="png,npy,preview,ply",
        help="which files to write, separated by commas: png, npy, exr, preview, ply, metric and "
        "discrepancy (.npy of the metric model alone, and of where the models disagree)",
    )
    _add_run_options(image)
    image.set_defaults(run=_image)

    video = commands.add_parser(
        "video",
        help="depth of video files, beside the picture as a video",
        description="Write DIR/NAME_depth.mp4, the picture beside its depth in colours that mean "
        "the same metres in every frame, and if asked the depth of each frame as files in "
        "DIR/NAME. Run it again to go on after a kill.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    video.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="video file")
    video.add_argument("--output", type=Path, required=True, metavar="DIR", help="results go here")
    video.add_argument(
        "--intrinsics", metavar="CAMERA", help="fx,fy,cx,cy in pixels or a file, as for image"
    )
    video.add_argument(
        "--formats",
        default="video",
        help="what to write, separated by commas: video, and per frame those of sharpdepth image",
    )
    video.add_argument("--every", type=int, default=1, help="take every n-th frame")
    video.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="of the video")
    video.add_argument("--end", type=float, metavar="SECONDS", help="of the video")
    video.add_argument(
        "--near", type=float, help="metres of the brightest colour; default: by look"
    )
    video.add_argument("--far", type=float, help="metres of the darkest colour; default: by look")
    _add_run_options(video)
    video.set_defaults(run=_video)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", default="sharpdepth", choices=("sharpdepth", "aligned", "metric"))
    parser.add_argument("--batch", type=int, default=1, help="images of one size at once")
    parser.add_argument("--workers", type=int, default=2, help="threads that read and write files")
    parser.add_argument(
        "--restart", action="store_true", help="do again what an earlier run has done"
    )
    add_model_options(parser)


def _image(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from sharpdepth_ros.io.intrinsics_files import cameras_of
    from sharpdepth_ros.pipeline.distributed import this_process
    from sharpdepth_ros.recordings.images import (
        FORMATS,
        Once,
        find_images,
        read_picture,
        why_again,
        write_depth_files,
    )
    from sharpdepth_ros.recordings.prefetch import batches_of, run_jobs

    formats = _formats(options, FORMATS)
    images = find_images(options.inputs, options.output)
    camera_of = cameras_of(options.intrinsics)
    processes = this_process()
    # Shared out before anything is skipped: all processes have to see the same list.
    jobs = processes.share(images.jobs)
    decided = _in_turn(processes, lambda: facts_of(options, NOT_DECIDING_HERE, processes.device))
    facts = {}
    for job in jobs:
        facts[job] = decided | _facts_of(job.source, options.intrinsics, job.name)
    found = {job: why_again(job.target, formats, facts[job]) for job in jobs}
    todo = [job for job in jobs if options.restart or found[job] != {}]
    if processes.is_main:
        announce(options.model, options.metric_model)
        for line in images.remarks():
            print(f"sharpdepth: {line}", file=sys.stderr)
    _tell_why([found[job] for job in todo], options.restart)
    failures = {}
    if todo or processes.count > 1:  # all of several processes meet while loading
        pipe = _load(options, processes)

        def read(job):
            return read_picture(job.source, camera_of(job.name), tell)

        def write(job, picture, out):
            write_depth_files(job.target, picture.rgb, out, formats, facts[job], picture.form)

        infer = batches_of(pipe, **call_options(options))
        tell = Once(lambda text: tqdm.write(f"sharpdepth: {text}", file=sys.stderr))
        with tqdm(total=len(todo), unit="image", disable=not processes.is_main) as bar:
            for done in run_jobs(
                todo, read, infer, write, workers=options.workers, batch=options.batch
            ):
                bar.update()
                if done.error is not None:
                    failures[done.job.source] = done.error
                elif options.mode != "metric" and not done.output.aligned:
                    bar.write(
                        f"{done.job.source}: no sound alignment; wrote the metric model's depth"
                    )
    written = 0
    for job in jobs:
        missing = why_again(job.target, formats, facts[job])
        if missing == {}:
            written += job.source not in failures
        else:
            reason = "; ".join((missing or {}).values()) or "nothing of it is in the folder"
            failures.setdefault(job.source, reason)
    for source, reason in failures.items():
        print(f"sharpdepth: {source} was left out: {reason}", file=sys.stderr)
    earlier = len(jobs) - len(todo)
    print(
        f"{written} of {len(jobs)} images written to {options.output}"
        + (f", {earlier} of them by an earlier run" if earlier else "")
        + (f" (process {processes.index} of {processes.count})" if processes.count > 1 else "")
    )
    return SOME_FAILED if failures else 0


def _video(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("av") is None:
        raise ValueError("videos need PyAV: pip install 'sharpdepth_ros[recordings]'")
    from sharpdepth_ros.io.intrinsics_files import read_intrinsics
    from sharpdepth_ros.pipeline.distributed import this_process
    from sharpdepth_ros.recordings.images import FORMATS, Once
    from sharpdepth_ros.recordings.prefetch import batches_of
    from sharpdepth_ros.recordings.videos.depth import VideoRun, depth_of_video

    formats = _formats(options, ("video", *FORMATS))
    for given in options.inputs:
        if not given.is_file():
            raise FileNotFoundError(f"{given} does not exist")
    names = [given.stem for given in options.inputs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{', '.join(sorted(twice))}: two inputs would write the same files")
    intrinsics = None if options.intrinsics is None else read_intrinsics(options.intrinsics)
    processes = this_process()
    if processes.is_main:
        announce(options.model, options.metric_model)
    decided = _in_turn(processes, lambda: facts_of(options, NOT_DECIDING_HERE, processes.device))
    pipe = _load(options, processes)
    failed = False
    tell = Once(lambda text: print(f"sharpdepth: {text}", file=sys.stderr))
    for given in options.inputs:
        run = VideoRun(
            source=given,
            output=options.output,
            formats=formats,
            every=options.every,
            start=options.start,
            end=options.end,
            near=options.near,
            far=options.far,
            intrinsics=intrinsics,
            facts=decided | _facts_of(given, options.intrinsics),
            workers=options.workers,
            batch=options.batch,
            tell=tell,
        )
        infer = batches_of(pipe, **call_options(options))
        count, problems = depth_of_video(
            run,
            infer,
            processes,
            options.restart,
            lambda text, given=given: print(f"sharpdepth: {given}: {text}", file=sys.stderr),
        )
        for line in problems.lines():
            print(f"sharpdepth: {given}: {line}", file=sys.stderr)
        failed |= bool(problems)
        print(f"{given}: {count} frames, written to {options.output}")
    return SOME_FAILED if failed else 0


def _formats(options: argparse.Namespace, known: tuple[str, ...]) -> list[str]:
    formats = [part.strip() for part in options.formats.split(",")]
    if unknown := set(formats) - set(known):
        raise ValueError(f"--formats {', '.join(sorted(unknown))}: known are {', '.join(known)}")
    if options.mode == "metric" and "discrepancy" in formats:
        raise ValueError("--formats discrepancy: --mode metric runs one model; choose another mode")
    for name in ("batch", "workers"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} is {getattr(options, name)}; give 1 or more")
    return formats


def _in_turn(processes, work: Callable[[], T]) -> T:
    """Work that the main process does first, so that weights that are missing are fetched once."""
    if not processes.is_main:
        processes.wait()
    done = work()
    if processes.is_main:
        processes.wait()
    return done


def _load(options: argparse.Namespace, processes):
    """The pipeline on this process's device."""
    return _in_turn(processes, lambda: load_pipeline(options, processes.device))


def _facts_of(source: Path, camera: str | None, name: Path | None = None) -> dict[str, Any]:
    """What decides a result beside the options: the file that it is made from, and its camera."""
    from sharpdepth_ros.pipeline.provenance import camera_facts, file_facts

    return {"source": file_facts(source), "camera_given": camera_facts(camera, name)}


def _tell_why(found: list[dict[str, str] | None], restart: bool) -> None:
    """Say why images that an earlier run has done are done again."""
    from sharpdepth_ros.recordings.run_problems import Problems

    reasons = Problems()
    for differences in found:
        for name, sentence in (differences or {}).items():
            reasons.add(f"images done again because {name} changed", sentence)
    for line in () if restart else reasons.lines():
        print(f"sharpdepth: {line}", file=sys.stderr)
