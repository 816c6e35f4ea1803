# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth evaluate` and `compare`: the paper's tables, on any data set."""

import argparse
from pathlib import Path

import sharpdepth_ros
from sharpdepth_ros.cli.options import NOT_DECIDING, add_model_options, announce, facts_of

#: Options of `evaluate` that are not compared as they were typed, and why.
NOT_DECIDING_HERE = NOT_DECIDING | {
    "modes": "each is a method, whose rows are its own",
    "method": "it names the rows",
    "predictions": "each row has the content of its file",
    "frames": "it chooses samples, each of which has its own rows",
    "limit": "it chooses samples, each of which has its own rows",
    "pictures": "they are of the numbers",
    "metrics": "their names are recorded",
    "crop": "what it stands for is recorded",
    "dataset_option": "what they stand for is recorded",
}


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Declare the subcommands."""
    evaluate = commands.add_parser(
        "evaluate",
        help="measure accuracy and sharpness on a data set",
        description="docs/evaluation.md has the data sets, their layouts and the metrics. Run it "
        "again to continue a run that was stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    evaluate.add_argument("--dataset", required=True, help="kitti, nyu, ..., or folder")
    evaluate.add_argument("--root", type=Path, required=True, metavar="DIR", help="of the data set")
    evaluate.add_argument("--output", type=Path, required=True, metavar="DIR")
    evaluate.add_argument(
        "--modes", default="sharpdepth,aligned,metric", help="of the pipeline, separated by commas"
    )
    evaluate.add_argument(
        "--predictions", type=Path, metavar="DIR", help="depth made elsewhere: .npy, .png or .exr"
    )
    evaluate.add_argument(
        "--prediction-space", default="depth", choices=("depth", "disparity"), help="of the files"
    )
    evaluate.add_argument("--png-scale", type=float, default=1000.0, help="integers per metre")
    evaluate.add_argument("--method", help="name of the predictions in tables")
    evaluate.add_argument(
        "--alignment",
        default="none",
        choices=("none", "least-squares", "least-squares-disparity", "median"),
        help="to the ground truth",
    )
    evaluate.add_argument("--crop", default="default", help="of the data set: garg, eigen, none")
    evaluate.add_argument("--frames", type=Path, metavar="FILE", help="list of images to take")
    evaluate.add_argument("--limit", type=int, help="take only the first so many samples")
    evaluate.add_argument("--metrics", help="names, separated by commas")
    evaluate.add_argument("--pictures", type=int, default=4, help="worst and best ones to show")
    evaluate.add_argument(
        "--no-intrinsics",
        dest="intrinsics",
        action="store_false",
        help="let the metric model estimate the camera",
    )
    evaluate.add_argument(
        "--no-fallback",
        dest="fallback",
        action="store_false",
        help="keep the fit where it is degenerate, as the published code does",
    )
    evaluate.add_argument(
        "--gate",
        default="noise-aware",
        choices=("noise-aware", "uniform", "none"),
        help="where the sharpener gets noise; the last two are the paper's ablations",
    )
    evaluate.add_argument(
        "--dataset-option", action="append", default=[], metavar="NAME=VALUE", help="of its reader"
    )
    add_model_options(evaluate)
    evaluate.set_defaults(run=_evaluate)

    compare = commands.add_parser("compare", help="two results, with confidence intervals")
    compare.add_argument("a", metavar="A", help="a folder of evaluate, or FOLDER:METHOD")
    compare.add_argument("b", metavar="B", help="likewise")
    compare.add_argument("--output", type=Path, metavar="DIR", help="tables and a picture")
    compare.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    compare.set_defaults(run=_compare)


def _evaluate(options: argparse.Namespace) -> int:
    from sharpdepth_ros.evaluation.datasets import parse_option

    if options.predictions is None:
        announce(options.model, options.metric_model)
    return _commands().run_evaluate(
        options.dataset,
        options.root,
        options.output,
        model=options.model,
        metric_model=options.metric_model,
        generator=options.generator,
        generator_options=dict(options.generator_option),
        modes=options.modes.split(","),
        predictions=options.predictions,
        prediction_space=options.prediction_space,
        png_scale=options.png_scale,
        method=options.method,
        alignment=options.alignment,
        crop=options.crop,
        frames=options.frames,
        dataset_options=dict(parse_option(text) for text in options.dataset_option),
        limit=options.limit,
        metrics=options.metrics and options.metrics.split(","),
        pictures=options.pictures,
        intrinsics=options.intrinsics,
        fallback=options.fallback,
        gate=options.gate,
        fit=options.fit,
        device=options.device,
        precision=options.precision,
        compile=options.compile,
        preset=options.preset,
        tiny_vae=options.tiny_vae,
        processing_resolution=options.processing_resolution,
        lotus_steps=options.lotus_steps,
        seed=options.seed,
        facts=_facts_of(options),
    )


def _facts_of(options: argparse.Namespace) -> dict:
    """What decides the numbers beside what is recorded anyway; files were made by other models."""
    if options.predictions is None:
        return facts_of(options, NOT_DECIDING_HERE)
    return {"version": sharpdepth_ros.__version__}


def _compare(options: argparse.Namespace) -> int:
    return _commands().run_compare(options.a, options.b, options.output, options.seed)


def _commands():
    """The module of both; what it draws with is an extra."""
    try:
        from sharpdepth_ros.evaluation import commands
    except ImportError as error:
        raise ValueError(str(error)) from error
    return commands
