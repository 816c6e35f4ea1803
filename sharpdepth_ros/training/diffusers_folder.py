# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders in the released layout: where a training starts from, and what it writes."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from diffusers import AutoencoderKL, ModelMixin, UNet2DConditionModel
from torch import nn

from sharpdepth_ros.models.diffusion import DepthDiffusion, load_depth_diffusion
from sharpdepth_ros.models.random_checkpoint import TEXT_CHANNELS, write_random_checkpoint
from sharpdepth_ros.training.disk_cache import content_key
from sharpdepth_ros.training.run_checkpoints import STATE, checkpoints_of
from sharpdepth_ros.weights.catalogue import Kind
from sharpdepth_ros.weights.checksums import files_in, hash_file
from sharpdepth_ros.weights.layout import faults_of, tensor_shapes
from sharpdepth_ros.weights.locate import locate

UNCHANGED = ("vae", "scheduler", "text_encoder", "tokenizer")
"""The parts that the training of a UNet leaves as they are."""


def last_checkpoint(folder: str | Path) -> Path:
    """The folder, or where it is the folder of a run, the last complete checkpoint in it.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist; train it first, or give another folder")
    written = checkpoints_of(folder)
    return written[-1] if written else folder


def find_checkpoint(model: str, *kinds: Kind) -> Path:
    """Folder of a model: of a run's last checkpoint, of a checkpoint, or of a known name.

    Raises:
        FileNotFoundError: it is neither.
    """
    return last_checkpoint(model) if Path(model).is_dir() else locate(model, *kinds)


def folder_digest(folder: Path) -> str:
    """Names a model by the contents of its files: another training may have the same folder."""
    files = [f for f in files_in(folder) if STATE not in f.relative_to(folder).parts]
    parts = []
    for file in files:
        parts += [file.relative_to(folder).as_posix(), hash_file(file, lambda _: None).sha256]
    return content_key(*parts)


def load_for_training(folder: Path) -> DepthDiffusion:
    """Load a checkpoint, float32 and frozen; whoever trains a part of it thaws that part."""
    model = load_depth_diffusion(folder)
    # Made in inference mode, where autograd cannot use it.
    model.prompt_embedding = model.prompt_embedding.clone()
    return model


def write_trained(folder: Path, unet: UNet2DConditionModel, base: Path) -> None:
    """Write a checkpoint: a trained UNet beside the other parts of the one it started from.

    The other parts are hard links where the file system has them: they are gigabytes at the
    released size, and the same in every checkpoint.
    """
    save_network(unet, folder / "unet")
    for part in UNCHANGED:
        shutil.copytree(base / part, folder / part, copy_function=_link)
    if faults := faults_of(folder, "sharpener"):
        raise OSError(f"the copy of {base} is not whole: {'; '.join(faults)}")


def save_network(network: ModelMixin, folder: Path) -> None:
    """Write a network of diffusers, and check its files for every weight.

    Raises:
        OSError: the files do not hold the network's weights.
    """
    network.save_pretrained(folder)
    require_written(network, sorted(folder.glob("*.safetensors")))


def require_written(network: nn.Module, files: Iterable[Path], wrapper: str = "") -> None:
    """Compare names and shapes in the headers of .safetensors files with those of a network.

    Args:
        network: what was written.
        files: all of it.
        wrapper: prefix of the names in files that may be there, such as that of several processes.

    Raises:
        OSError: they differ, or a file is cut off; the message names the first difference.
    """
    files = list(files)
    written: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            shapes = tensor_shapes(file)
            written |= {name.removeprefix(wrapper): shape for name, shape in shapes.items()}
        except ValueError as error:
            raise OSError(f"{file.name} is cut off: {error}") from error
    for name, weights in network.state_dict().items():
        if written.get(name) != tuple(weights.shape):
            where = ", ".join(file.name for file in files) or "no .safetensors file"
            raise OSError(
                f"{name} of the network has the shape {list(weights.shape)}, and in {where} "
                f"{list(written[name]) if name in written else 'it is missing'}"
            )


def require_weights(network: nn.Module, state: Path) -> None:
    """`require_written` for the weights that accelerate wrote into a training state."""
    require_written(network, sorted(state.glob("model*.safetensors")), wrapper="module.")


class SmallBase(tempfile.TemporaryDirectory):
    """A folder, removed with this object, with a VAE and the parts that a small Lotus needs."""

    def __init__(self, vae: AutoencoderKL, unet: UNet2DConditionModel) -> None:
        """Write it.

        Args:
            vae: of the latent space.
            unet: with random weights; its text channels are `TEXT_CHANNELS`.
        """
        super().__init__(prefix="sharpdepth-base-")
        self.folder = Path(self.name)
        # An empty prompt's embedding is a constant: any text encoder gives one.
        write_random_checkpoint(self.folder)
        for part, network in (("vae", vae), ("unet", unet)):
            shutil.rmtree(self.folder / part)
            network.save_pretrained(self.folder / part)


def small_unet(
    latent_channels: int, channels: tuple[int, ...], attention: tuple[bool, ...], layers: int
) -> UNet2DConditionModel:
    """A UNet with random weights that predicts a latent from an image and a depth latent.

    Args:
        latent_channels: of the VAE.
        channels: of each level.
        attention: per level, whether it has attention.
        layers: residual blocks per level.

    Raises:
        ValueError: channels and attention are not of one length.
    """
    if len(channels) != len(attention):
        raise ValueError(
            f"{len(channels)} levels of channels and {len(attention)} of attention; give one per "
            "level"
        )
    down = tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention)
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention))
    return UNet2DConditionModel(
        in_channels=2 * latent_channels,
        out_channels=latent_channels,
        block_out_channels=channels,
        down_block_types=down,
        up_block_types=up,
        layers_per_block=layers,
        # Diffusers' name for the number of heads; about 32 channels each.
        attention_head_dim=tuple(max(1, c // 32) for c in channels),
        norm_num_groups=8,
        cross_attention_dim=TEXT_CHANNELS,
        use_linear_projection=True,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=4,
    )


def _link(source: str, target: str) -> None:
    """A second name for the file itself: the hub's cache consists of relative links."""
    source = os.path.realpath(source)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
