# SPDX-License-Identifier: Apache-2.0
"""Training: SharpDepth's label-free distillation, and the small models it can start from."""

from pathlib import Path


def train(stage: str, config_path: str | Path | None, overrides: list[str]) -> int:
    """Run one training from its configuration; the exit status.

    Args:
        stage: metric, vae, lotus or sharpen.
        config_path: YAML (see `config/train/`), or None for the defaults.
        overrides: "section.key=value", after the file.

    Raises:
        FileNotFoundError: the configuration or the data do not exist.
        ValueError: a bad option, or accelerate is not installed.
    """
    try:
        import accelerate  # noqa: F401 - said here, before data are opened
    except ImportError as error:
        raise ValueError(
            f"training needs accelerate ({error}): pip install 'sharpdepth_ros[train]'"
        ) from error
    from sharpdepth_ros.training.run import run_stage

    return run_stage(stage, config_path, overrides)
