# SPDX-License-Identifier: Apache-2.0
"""A small checkpoint in the released layout with random weights: where a small training starts."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

SEED = 0
TEXT_CHANNELS = 32


def write_random_checkpoint(folder: Path, takes_noise: bool = True) -> None:
    """Write unet, vae, scheduler, text_encoder and tokenizer; the same numbers every time.

    Args:
        folder: to write into.
        takes_noise: whether the UNet has a noisy latent as input (Lotus-G, SharpDepth) or not
            (Lotus-D).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        UNet2DConditionModel(
            in_channels=8 if takes_noise else 4,
            out_channels=4,
            block_out_channels=(32, 64),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            attention_head_dim=(2, 4),
            norm_num_groups=8,
            cross_attention_dim=TEXT_CHANNELS,
            use_linear_projection=True,
            class_embed_type="projection",
            projection_class_embeddings_input_dim=4,
        ).save_pretrained(folder / "unet")
        AutoencoderKL(
            block_out_channels=(8, 16, 16, 32),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            norm_num_groups=4,
        ).save_pretrained(folder / "vae")
        CLIPTextModel(
            CLIPTextConfig(
                vocab_size=2,
                hidden_size=TEXT_CHANNELS,
                intermediate_size=64,
                num_hidden_layers=1,
                num_attention_heads=2,
                bos_token_id=0,
                eos_token_id=1,
                pad_token_id=1,
            )
        ).save_pretrained(folder / "text_encoder")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="sample",
    ).save_pretrained(folder / "scheduler")
    _write_tokenizer(folder / "tokenizer")


def _write_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer that knows the two tokens an empty prompt consists of."""
    folder.mkdir()
    start, end = "<|startoftext|>", "<|endoftext|>"
    (folder / "vocab.json").write_text(json.dumps({start: 0, end: 1}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": start,
        "eos_token": end,
        "pad_token": end,
        "unk_token": end,
        "model_max_length": 77,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
