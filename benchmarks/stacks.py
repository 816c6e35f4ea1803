# SPDX-License-Identifier: Apache-2.0
"""Networks with random weights in the sizes that are measured: the demo's and the released ones."""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from torch import nn

from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.small_metric import SmallMetric
from sharpdepth_ros.models.tiny_vae import TinyVae
from sharpdepth_ros.models.unidepth import UniDepthV1
from sharpdepth_ros.training.diffusers_folder import small_unet


@dataclass(frozen=True)
class Stack:
    """What a pipeline is made of.

    Attributes:
        sharpener, metric_model, tiny_vae: on their device; no metric model for a type of None.
        camera: (width, height) of the images it is measured on.
        resolution: the longest edge that the networks see.
    """

    sharpener: DepthDiffusion
    metric_model: nn.Module | None
    tiny_vae: TinyVae
    camera: tuple[int, int]
    resolution: int


def demo(device: torch.device, dtype: torch.dtype, metric_dtype: torch.dtype | None) -> Stack:
    """The sizes of config/train: what the package's demo weights are trained in."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=8,
        mid_block_add_attention=False,
    )
    unet = small_unet(8, (48, 96, 160), (False, False, True), 1)
    metric = SmallMetric(
        {
            "model": {
                "name": "SmallMetric",
                "image_shape": [96, 128],
                "channels": [32, 64, 128, 192],
                "blocks": 2,
                "output_stride": 4,
                "max_depth": 15.0,
            }
        }
    )
    tiny = AutoencoderTiny(
        latent_channels=8,
        encoder_block_out_channels=(16, 16, 16),
        decoder_block_out_channels=(16, 16, 16),
        num_encoder_blocks=(1, 2, 2),
        num_decoder_blocks=(2, 2, 1),
    )
    return _place(vae, unet, metric, tiny, device, dtype, metric_dtype, (320, 240), 192)


def released(device: torch.device, dtype: torch.dtype, metric_dtype: torch.dtype | None) -> Stack:
    """Stable Diffusion 2's UNet and VAE as Lotus and SharpDepth have them, UniDepth V1 ViT-L."""
    with torch.device("meta"):
        vae, unet, metric, tiny = released_networks()
    return _place(vae, unet, metric, tiny, device, dtype, metric_dtype, (768, 576), 768)


def released_networks() -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
    """VAE, UNet, metric model and TAESD, as published."""
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    unet = UNet2DConditionModel(
        in_channels=8,
        out_channels=4,
        block_out_channels=(320, 640, 1280, 1280),
        attention_head_dim=(5, 10, 20, 20),
        cross_attention_dim=1024,
        use_linear_projection=True,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=4,
    )
    encoder = {"name": "dinov2_vitl14", "pretrained": None}
    decoder = {"hidden_dim": 512, "depths": [3, 2, 1], "dropout": 0.0}
    metric = UniDepthV1(
        {
            "training": {},
            "data": {"image_shape": [462, 616]},
            "model": {
                "name": "UniDepthV1",
                "num_heads": 8,
                "expansion": 4,
                "pixel_decoder": decoder,
                "pixel_encoder": encoder,
            },
        }
    )
    return vae, unet, metric, AutoencoderTiny()


STACKS = {"demo": demo, "released": released}


def _place(vae, unet, metric, tiny, device, dtype, metric_dtype, camera, resolution: int) -> Stack:
    channels = unet.config.cross_attention_dim
    networks = [_fill(network, device, dtype) for network in (unet, vae, tiny)]
    # The empty prompt is two tokens: begin and end.
    prompt = torch.randn(1, 2, channels, generator=torch.Generator().manual_seed(1))
    sharpener = DepthDiffusion(networks[0], networks[1], _schedule(), prompt.to(dtype))
    return Stack(
        sharpener.to(device=device, dtype=dtype).eval().requires_grad_(False),
        metric_dtype and _fill(metric, device, metric_dtype).eval().requires_grad_(False),
        TinyVae(networks[2]).eval().requires_grad_(False),
        camera,
        resolution,
    )


def _schedule() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        timestep_spacing="trailing",
        prediction_type="sample",
    )


def _fill(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """On its device in its type; a network without memory gets weights of usual size."""
    if not any(p.is_meta for p in network.parameters()):
        return nn.Module.to(network, device=device, dtype=dtype)
    nn.Module.to(network, dtype=dtype).to_empty(device=device)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
        for buffer in network.buffers():
            buffer.zero_()
    return network
