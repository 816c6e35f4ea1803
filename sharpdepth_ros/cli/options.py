# SPDX-License-Identifier: Apache-2.0
"""Options of every subcommand that builds a pipeline."""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

#: Options of `add_model_options` and of every long run that do not decide a result, and why.
NOT_DECIDING = {
    "run": "it is the command",
    "output": "it is where results go",
    "device": "the arithmetic that it gives the precision is recorded",
    "compile": "it is the same arithmetic, rounded otherwise",
}


def add_model_options(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", help="auto, fp32, tf32, bf16 or fp16")
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    parser.add_argument(
        "--preset", default="accurate", help="accurate, balanced, fast or fastest (docs/speed.md)"
    )
    parser.add_argument("--tiny-vae", help="of a preset that uses one: a name or a folder")
    parser.add_argument(
        "--processing-resolution",
        type=int,
        help="longest edge, pixels; 0: the image's own; left out: what the model was trained for",
    )
    parser.add_argument(
        "--fit",
        help="of affine depth to metres: least-squares or relative; left out: as the model says",
    )
    parser.add_argument("--lotus-steps", type=int, default=1, help="denoising steps of f_G")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")


def load_pipeline(options: argparse.Namespace, device: str = "auto"):
    """The pipeline that these options describe.

    Args:
        options: of `add_model_options`.
        device: what --device auto means here.
    """
    from sharpdepth_ros import SharpDepthPipeline

    return SharpDepthPipeline.from_pretrained(
        options.model,
        metric_model=options.metric_model,
        generator=options.generator,
        generator_options=dict(options.generator_option),
        device=device if options.device == "auto" else options.device,
        precision=options.precision,
        compile=options.compile,
        preset=options.preset,
        tiny_vae=options.tiny_vae,
    )


def call_options(options: argparse.Namespace) -> dict:
    """What is given to the pipeline with each image, --mode included."""
    return {
        "mode": options.mode,
        "processing_resolution": options.processing_resolution,
        "fit": options.fit,
        "lotus_steps": options.lotus_steps,
        "seed": options.seed,
    }


def facts_of(
    options: argparse.Namespace, not_deciding: Mapping[str, str], device: str = "auto"
) -> dict[str, Any]:
    """What decides the results of a command, for `pipeline.provenance`: every option but the named.

    Args:
        options: of a command that has those of `add_model_options`.
        not_deciding: options to leave out, each with the reason.
        device: what --device auto means here.
    """
    from sharpdepth_ros.pipeline.provenance import model_facts

    given = {name: value for name, value in vars(options).items() if name not in not_deciding}
    facts = given | model_facts(
        options.model,
        options.metric_model,
        generator=options.generator,
        tiny_vae=options.tiny_vae,
        preset=options.preset,
        precision=options.precision,
        device=device if options.device == "auto" else options.device,
    )
    return json.loads(json.dumps(facts, default=str))


def _generator_option(text: str) -> tuple[str, int]:
    name, equals, number = text.partition("=")
    if not (name and equals and number.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER, such as steps=4")
    return name, int(number)


def announce(*models: str) -> None:
    """Say first that demo models mean nothing, where they are used."""
    from sharpdepth_ros.weights.catalogue import DEMO_NOTICE

    if "demo" in models:
        print(DEMO_NOTICE, file=sys.stderr)
