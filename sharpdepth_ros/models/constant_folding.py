# SPDX-License-Identifier: Apache-2.0
"""Computes once what a depth model's UNet would compute in every pass: prompt, task and time."""

import copy

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from sharpdepth_ros.models.diffusion import DepthDiffusion


def sharing_copy(module: nn.Module) -> nn.Module:
    """A copy with the same parameters and buffers, not equal ones: it costs no memory.

    Parts of it can be replaced while the original stays what it is.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def can_fold(unet: UNet2DConditionModel) -> bool:
    """Whether everything in the UNet that sees the time, the class or the prompt is known here."""
    config = unet.config
    plain = (
        config.addition_embed_type is None
        and config.encoder_hid_dim_type is None
        and config.class_embed_type in (None, "projection", "simple_projection")
        and not config.class_embeddings_concat
        and config.time_cond_proj_dim is None
    )
    timed = [m for m in unet.modules() if getattr(m, "time_emb_proj", None) is not None]
    return (
        plain
        and all(isinstance(m, ResnetBlock2D) for m in timed)
        and all(_is_plain(m) for m in _cross_attentions(unet))
    )


class FoldedDiffusion(DepthDiffusion):
    """A `DepthDiffusion` whose UNet has its constants computed: the same numbers up to rounding.

    It shares the weights of the model it was made from.
    """

    @classmethod
    def of(cls, model: DepthDiffusion) -> "FoldedDiffusion":
        """Fold a model that `can_fold` accepts."""
        shared = sharing_copy(model)
        folded = cls(
            shared.unet,
            shared.vae,
            shared.scheduler,
            model.prompt_embedding,
            model.space,
            model.processing_resolution,
            model.fit,
        )
        folded.unet = _FoldedUNet(shared.unet, model.prompt_embedding, model.task_embedding)
        folded.register_buffer("task_embedding", model.task_embedding)
        return folded.eval()

    def _denoise(self, inputs: torch.Tensor, timestep: int) -> torch.Tensor:
        return self.unet(inputs, self.unet.constants(timestep))


class _FoldedUNet(nn.Module):
    """A UNet that is given, instead of a timestep, what its residual blocks make of it."""

    def __init__(
        self, unet: UNet2DConditionModel, prompt: torch.Tensor, task: torch.Tensor
    ) -> None:
        """Fold a UNet in place.

        Args:
            unet: not used elsewhere; its parameters may be.
            prompt: [1, tokens, channels].
            task: [1, 4], the class embedding's input.
        """
        super().__init__()
        self.config = unet.config
        self._task = task
        self._constants: dict[int, torch.Tensor] = {}
        # What makes the constants is kept out of the modules: it is not part of a pass.
        self._embedders = (unet.time_proj, unet.time_embedding, unet.class_embedding)
        self._activation = unet.time_embed_act or nn.Identity()
        self._projections = []
        width = 0
        for block in unet.modules():
            if isinstance(block, ResnetBlock2D) and block.time_emb_proj is not None:
                before = nn.Identity() if block.skip_time_act else block.nonlinearity
                self._projections.append((before, block.time_emb_proj))
                channels = block.time_emb_proj.out_features
                block.time_emb_proj = _Part(width, width + channels)
                block.skip_time_act = True
                width += channels
        for attention in _cross_attentions(unet):
            attention.set_processor(_PromptAttention(attention, prompt))
            for used in ("to_q", "to_k", "to_v", "to_out"):
                delattr(attention, used)
        unet.time_proj = unet.time_embedding = unet.class_embedding = unet.time_embed_act = None
        unet.get_time_embed = _as_given
        unet.time_embedding = _AsGiven()
        self.unet = unet

    def constants(self, timestep: int) -> torch.Tensor:
        """What all residual blocks add at a timestep, [1, channels of all of them]."""
        if timestep not in self._constants:
            self._constants[timestep] = self._compute(timestep)
        return self._constants[timestep]

    def _compute(self, timestep: int) -> torch.Tensor:
        time_projection, time_embedding, class_embedding = self._embedders
        dtype, device = self._task.dtype, self._task.device
        step = torch.full((1,), timestep, dtype=torch.long, device=device)
        embedding = time_embedding(time_projection(step).to(dtype))
        if class_embedding is not None:
            embedding = embedding + class_embedding(self._task)
        embedding = self._activation(embedding)
        return torch.cat([project(act(embedding)) for act, project in self._projections], dim=-1)

    def forward(self, inputs: torch.Tensor, constants: torch.Tensor) -> torch.Tensor:
        """The predicted latent.

        Args:
            inputs: [B, C, h, w].
            constants: of the timestep, from `constants`.
        """
        return self.unet(inputs, constants, encoder_hidden_states=None, return_dict=False)[0]


def _as_given(sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    return timestep


class _AsGiven(nn.Module):
    def forward(self, embedding: torch.Tensor, condition: None = None) -> torch.Tensor:
        return embedding


class _Part(nn.Module):
    """A residual block's own channels of the constants."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self._channels = slice(start, stop)

    def forward(self, constants: torch.Tensor) -> torch.Tensor:
        return constants[:, self._channels]


class _PromptAttention(nn.Module):
    """Cross-attention to a prompt that never changes.

    With the prompt's keys K and values V fixed, softmax(Q K') V W_out with Q = x W_q needs only
    the products K W_q and V W_out, one column for each head and token: two narrow matrices
    instead of four square ones.
    """

    def __init__(self, attention: Attention, prompt: torch.Tensor) -> None:
        super().__init__()
        heads, scale = attention.heads, attention.scale
        with torch.no_grad():
            keys = attention.to_k(prompt)[0].float().unflatten(-1, (heads, -1))
            values = attention.to_v(prompt)[0].float().unflatten(-1, (heads, -1))
            query = attention.to_q.weight.float().unflatten(0, (heads, -1))
            out = attention.to_out[0].weight.float().unflatten(1, (heads, -1))
            scores = torch.einsum("thd,hdc->htc", keys, query) * scale
            shares = torch.einsum("thd,chd->cht", values, out)
            bias = attention.to_q.bias
            if bias is not None:
                bias = torch.einsum("thd,hd->ht", keys, bias.float().unflatten(0, (heads, -1)))
                bias = (bias * scale).flatten().to(prompt.dtype)
        self.tokens = len(keys)
        self.register_buffer("scores", scores.flatten(0, 1).to(prompt.dtype))
        self.register_buffer("scores_bias", bias)
        self.register_buffer("shares", shares.flatten(1).to(prompt.dtype))
        self.register_buffer("bias", attention.to_out[0].bias)

    def forward(self, attention: Attention, hidden_states: torch.Tensor, *_, **__) -> torch.Tensor:
        """What the block adds, [B, pixels, C], to its input of that shape."""
        logits = F.linear(hidden_states, self.scores, self.scores_bias)
        weights = logits.unflatten(-1, (-1, self.tokens)).softmax(-1).flatten(-2)
        return F.linear(weights, self.shares, self.bias)


def _cross_attentions(unet: UNet2DConditionModel) -> list[Attention]:
    return [m for m in unet.modules() if isinstance(m, Attention) and m.is_cross_attention]


def _is_plain(attention: Attention) -> bool:
    """Whether the attention is nothing but softmax(Q K') V and its four projections."""
    extras = ("spatial_norm", "group_norm", "norm_q", "norm_k", "norm_cross", "add_k_proj")
    return (
        not any(getattr(attention, extra, None) for extra in extras)
        and not attention.residual_connection
        and attention.rescale_output_factor == 1
        and all(isinstance(part, nn.Linear) for part in (attention.to_q, attention.to_out[0]))
    )
