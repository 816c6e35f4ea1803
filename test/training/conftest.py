# SPDX-License-Identifier: Apache-2.0
"""A few rendered frames and the smallest stack that can be trained on them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from sharpdepth_ros.synthetic import SampleOptions, write_dataset
from sharpdepth_ros.training import train

TINY = ["data.width=32", "data.height=24", "run.cpu=true", "run.log_every=1"]
VAE = ["stage.channels=[8,8,16]", "stage.latent_channels=4"]
TINY_VAE = ["stage.channels=8", "stage.encoder_blocks=[1,1,1]", "stage.decoder_blocks=[1,1,1]"]
LOTUS = ["stage.channels=[16,32]", "stage.attention=[false,true]"]
METRIC = [
    "stage.image_shape=[24,32]",
    "stage.channels=[16,32]",
    "stage.blocks=1",
    "stage.output_stride=4",
]


@dataclass(frozen=True)
class TinyStack:
    """Folders of frames, and of a VAE, a Lotus and a metric model that a few steps made."""

    frames: Path
    vae: Path
    lotus: Path
    metric: Path

    def arguments(self, stage: str, output: Path, *more: str) -> list[str]:
        """Overrides of a tiny training of the stage, on the images alone where it needs no more."""
        labels = stage != "sharpen"
        source = ["data.source=frames", f"data.path={self.frames}"]
        if not labels:
            source = ["data.source=images", f"data.path={self.frames / 'rgb'}"]
        options = {
            "metric": METRIC,
            "vae": VAE,
            "tiny-vae": [*TINY_VAE, f"stage.vae={self.vae}"],
            "lotus": [*LOTUS, f"stage.vae={self.vae}"],
            "sharpen": [
                f"stage.lotus={self.lotus}",
                f"stage.metric_model={self.metric}",
                "stage.ema_start=1",
                "stage.ema_every=1",
            ],
        }[stage]
        return [*TINY, *source, *options, f"run.output={output}", *more]


@pytest.fixture(scope="session")
def frames(tmp_path_factory) -> Path:
    """Four synthetic frames of 64 x 48 with depth."""
    folder = tmp_path_factory.mktemp("frames")
    write_dataset(folder, 4, options=SampleOptions(seed=3, width=64, height=48, kind="shapes"))
    return folder


@pytest.fixture(scope="session")
def stack(frames, tmp_path_factory) -> TinyStack:
    """Every stage trained for two steps, one from the other."""
    root = tmp_path_factory.mktemp("stack")
    made = TinyStack(frames, root / "vae", root / "lotus", root / "metric")
    for stage in ("vae", "lotus", "metric"):
        assert train(stage, None, made.arguments(stage, root / stage, "optimizer.steps=2")) == 0
    return made
