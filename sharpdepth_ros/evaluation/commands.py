# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth evaluate` and `sharpdepth compare`: from arguments to reports; each function's result
is the exit status."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sharpdepth_ros.evaluation.alignment import AlignmentMethod, PredictionSpace
from sharpdepth_ros.evaluation.compare import compare, comparison_table
from sharpdepth_ros.evaluation.datasets import open_dataset, read_frame_list
from sharpdepth_ros.evaluation.evaluate import evaluate
from sharpdepth_ros.evaluation.predictors import MODES, FilePredictor, PipelinePredictor, Predictor
from sharpdepth_ros.evaluation.report import REPORT, markdown_table
from sharpdepth_ros.io.depth_files import MILLIMETRES
from sharpdepth_ros.pipeline.distributed import Processes, this_process


def run_evaluate(
    dataset: str,
    root: Path,
    output: Path,
    *,
    model: str = "demo",
    metric_model: str = "demo",
    generator: str | None = None,
    generator_options: Mapping[str, int] | None = None,
    modes: Sequence[str] = MODES,
    predictions: Path | None = None,
    prediction_space: PredictionSpace = "depth",
    png_scale: float = MILLIMETRES,
    method: str | None = None,
    alignment: AlignmentMethod = "none",
    crop: str = "default",
    frames: Path | None = None,
    dataset_options: Mapping[str, object] | None = None,
    limit: int | None = None,
    metrics: Sequence[str] | None = None,
    pictures: int = 4,
    intrinsics: bool = True,
    device: str = "auto",
    precision: str = "auto",
    compile: bool = False,
    preset: str = "accurate",
    tiny_vae: str | None = None,
    processing_resolution: int | None = None,
    lotus_steps: int = 1,
    seed: int = 0,
    fallback: bool = True,
    gate: str = "noise-aware",
    fit: str | None = None,
    facts: Mapping[str, object] | None = None,
) -> int:
    """Evaluate a pipeline, or predictions in files, and print the table.

    Args:
        dataset: a name of `DATASETS`.
        root: its folder.
        output: folder for results; a run that is there is continued.
        model: the sharpener, a name or folder; this and the next as in `SharpDepthPipeline`.
        metric_model: f_D.
        generator: f_G, or None.
        generator_options: for Marigold.
        modes: of the pipeline.
        predictions: folder with predictions made elsewhere, instead of models and modes.
        prediction_space: what these are.
        png_scale: integers per metre of .png and .tif, in predictions, and in the depth of a plain
            folder.
        method: name of the predictions in tables; None takes their folder's.
        alignment: to the ground truth.
        crop: of the data set.
        frames: file that lists the images to take, one a line, by their path below the root.
        dataset_options: of the reader, such as DIODE's part; see `parse_option`.
        limit: take only the first so many samples.
        metrics: names, None for what fits the data set.
        pictures: worst and best samples to show per method.
        intrinsics: whether the metric model is given the data set's camera.
        device: auto is each process's own GPU under `accelerate launch`.
        precision: of the models; this and the next as in `SharpDepthPipeline`.
        compile: use torch.compile.
        preset, tiny_vae: as in `SharpDepthPipeline`. Every image is a scene of its own: the
            generator pass is made for each.
        processing_resolution: longest edge, pixels; None takes what the model was trained for.
        lotus_steps: of the generator.
        seed: of the noise.
        fallback: answer with the metric depth where an alignment is degenerate.
        gate: of the sharpener, as in `SharpDepthPipeline`.
        fit: of the affine depth to the metric model's, likewise.
        facts: what else decides the numbers, such as digests of the weights.

    Returns:
        0, or 1 if all numbers of a method mean little (no ground truth, other units, ...).
    """
    processes = this_process()
    samples = open_dataset(
        dataset,
        root,
        crop=crop,
        limit=limit,
        frames=None if frames is None else read_frame_list(frames),
        **({"png_scale": png_scale} if dataset == "folder" else {}) | dict(dataset_options or {}),
    )
    predictor: Predictor
    if predictions is not None:
        predictor = FilePredictor(
            predictions,
            method or Path(predictions).resolve().name,
            names=samples.names,
            png_scale=png_scale,
            space=prediction_space,
        )
    else:
        names = {
            "model": model,
            "metric_model": metric_model,
            "generator": generator,
            "generator_options": dict(generator_options or {}),
            "precision": precision,
            "preset": preset,
            "tiny_vae": tiny_vae,
        }
        predictor = PipelinePredictor(
            _load(names, device, compile, processes),
            modes,
            use_intrinsics=intrinsics,
            processing_resolution=processing_resolution,
            lotus_steps=lotus_steps,
            seed=seed,
            fallback=fallback,
            gate=gate,
            fit=fit,
            names=names,
        )
    result = evaluate(
        samples,
        predictor,
        output,
        alignment=alignment,
        metrics=metrics,
        pictures=pictures,
        processes=processes,
        facts=facts,
        tell=lambda text: print(f"sharpdepth: {text}", file=sys.stderr),
    )
    if processes.is_main:
        print(f"\n{result.title}\n\n{markdown_table(result)}\n{Path(output) / REPORT}")
    return int(result.says_nothing())


def run_compare(a: str, b: str, output: Path | None = None, seed: int = 0) -> int:
    """Compare two results, FOLDER or FOLDER:METHOD, and print the tables."""
    for comparison in compare(a, b, output, seed):
        print(comparison_table(comparison))
    return 0


def _load(names: dict, device: str, compile: bool, processes: Processes):
    """The pipeline on this process's device."""
    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthPipeline

    return SharpDepthPipeline.from_pretrained(
        names["model"],
        metric_model=names["metric_model"],
        generator=names["generator"],
        generator_options=names["generator_options"],
        device=processes.device if device == "auto" else device,
        precision=names["precision"],
        compile=compile,
        preset=names["preset"],
        tiny_vae=names["tiny_vae"],
    )
