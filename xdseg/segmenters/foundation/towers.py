"""Image encoders of two libraries as one kind of thing: tokens of images, and one block after another.

A tower owns nothing: it reads a network of timm (a plain transformer, EVA-02, SigLIP's image tower) or of open_clip
(OpenAI's CLIP). `joint` is where a vision-language model's patches meet its texts: MFuser adds the other encoder's
tokens before the frozen projection.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.models.eva import Eva
from torch import Tensor, nn

from xdseg.segmenters import vit
from xdseg.segmenters.contract import Size
from xdseg.segmenters.foundation.patches import placed
from xdseg.segmenters.vit import Guided, Tokens
from xdseg.settings.encoders import Resampling


def grid_of(images: Tensor, kernel: Tensor) -> Size:
    """Rows and columns of whole patches."""
    return images.shape[-2] // kernel.shape[-2], images.shape[-1] // kernel.shape[-1]


def added(tokens: Tokens, other: Tokens) -> Tensor:
    """Patches plus patches, and the first token in front plus the other's, where both have one; (B, T, D)."""
    if min(tokens.before, other.before) == 0:
        return torch.cat([tokens.x[:, : tokens.before], _patches(tokens) + _patches(other)], dim=1)
    front = tokens.x[:, :1] + other.x[:, :1]
    return torch.cat([front, tokens.x[:, 1 : tokens.before], _patches(tokens) + _patches(other)], dim=1)


def _patches(tokens: Tokens) -> Tensor:
    return tokens.x[:, tokens.before :]


def merged(tokens: Tokens | None, other: Tokens | None) -> Tokens:
    """Both, added, in the first's order; or the one that is there."""
    if tokens is None or other is None:
        return other if tokens is None else tokens
    return Tokens(added(tokens, other), tokens.grid)


def global_and_patches(tokens: Tokens) -> Tensor:
    """(B, 1 + h w, D): the first token, or the mean of the patches where none stands in front; then the patches."""
    patches = _patches(tokens)
    front = tokens.x[:, :1] if tokens.before else patches.mean(1, keepdim=True)
    return tokens.x if tokens.before == 1 else torch.cat([front, patches], dim=1)


@dataclass(frozen=True)
class TimmTower:
    """A plain transformer of timm; `head` is what open_clip puts behind it."""

    trunk: nn.Module
    positions: Resampling
    head: nn.Module | None = None
    joins_normed = True  # the other encoder's tokens are normed before they are added

    @property
    def width(self) -> int:
        """Of the tokens."""
        return self.trunk.embed_dim

    @property
    def patch(self) -> int:
        """Side of a patch in pixels, as images are cut, whatever the encoder's file has."""
        return self.trunk.patch_embed.proj.kernel_size[0]

    @property
    def blocks(self) -> nn.ModuleList:
        """In their order."""
        return self.trunk.blocks

    def heads(self, number: int) -> int:
        """Of a block's attention."""
        return self.blocks[number].attn.num_heads

    def embed(self, images: Tensor) -> Tokens:
        """Tokens before the first block, of images (B, 3, H, W) of whole patches."""
        trunk, patches = self.trunk, self.trunk.patch_embed
        grid = grid_of(images, patches.proj.weight)
        x = patches.norm(patches.proj(images).flatten(2).transpose(1, 2))
        prefix = [part.expand(len(x), -1, -1) for part in (trunk.cls_token, trunk.reg_token) if part is not None]
        before = 0 if trunk.no_embed_class else sum(part.shape[1] for part in prefix)
        if before:
            x = torch.cat([*prefix, x], dim=1)
        if trunk.pos_embed is not None:
            x = x + placed(trunk.pos_embed, grid, before=before, mode=self.positions)
        if prefix and not before:
            x = torch.cat([*prefix, x], dim=1)
        return Tokens(trunk.norm_pre(x), grid, rotations(trunk, grid))

    def run(self, number: int, tokens: Tokens, mask: Tensor | Guided | None = None) -> Tokens:
        """One block, as `vit.run`."""
        return vit.run(self.trunk.blocks[number], tokens, mask)

    def normed(self, tokens: Tokens) -> Tokens:
        """After the last norm."""
        return Tokens(self.trunk.norm(tokens.x), tokens.grid)

    def joint(self, tokens: Tokens | None, other: Tokens | None = None) -> Tensor:
        """[global | patches] (B, 1 + h w, E) beside the texts, of this encoder's tokens, another's, or their sum.

        EVA-02's head is a linear layer on its class token, and on each patch here; SigLIP's pools by attention, and
        each patch is its own query.
        """
        both = merged(tokens and self.normed(tokens), other)
        if (pool := self.trunk.attn_pool) is not None:
            x = _patches(both)
            found = torch.cat([pool(x)[:, None], attended(pool, x)], dim=1)
        else:
            found = self.trunk.fc_norm(global_and_patches(both))
        found = self.trunk.head(found)
        return found if self.head is None else self.head(found)


def rotations(trunk: nn.Module, grid: Size) -> Tensor | None:
    """What turns the patches of a grid, in EVA-02 and DINOv3; None in others.

    A network that open_clip made holds those of one grid, which is then made to be this one.
    """
    if not isinstance(trunk, Eva) or trunk.rope is None:
        return None
    held = getattr(trunk.rope, "feat_shape", None)
    if held is not None and tuple(held) != grid:
        trunk.rope.update_feat_shape(list(grid))
    return trunk.rope.get_embed(shape=list(grid))


def attended(pool: nn.Module, x: Tensor) -> Tensor:
    """What timm's pooling by attention makes of tokens (B, T, D) that are queries themselves."""
    q, k, v = (
        part.unflatten(2, (pool.num_heads, -1)).transpose(1, 2) for part in (pool.q(x), *pool.kv(x).chunk(2, -1))
    )
    found = F.scaled_dot_product_attention(pool.q_norm(q), pool.k_norm(k), v)
    found = pool.proj(found.transpose(1, 2).flatten(2))
    return found + pool.mlp(pool.norm(found))


def plain_attention(attention: nn.MultiheadAttention, x: Tensor, mask: Tensor | Guided | None) -> Tensor:
    """PyTorch's attention of tokens (B, T, D) to themselves, step by step, with factors where they are guided."""
    given = mask if isinstance(mask, Guided) else Guided(mask)
    parts = F.linear(x, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
    q, k, v = (part.unflatten(2, (attention.num_heads, -1)).transpose(1, 2) for part in parts)
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    shares = (logits if given.mask is None else logits + given.mask).softmax(-1).to(v.dtype)
    v = v if given.values is None else v * given.values.to(v.dtype)
    made = attention.out_proj((shares @ v).transpose(1, 2).flatten(2))
    return made if given.gate is None else made * given.gate.to(made.dtype)


@dataclass(frozen=True)
class ClipTower:
    """OpenAI's CLIP as open_clip has it."""

    visual: nn.Module
    positions: Resampling
    class_token_twice: bool
    fused: bool = True  # attention as one kernel, PyTorch's
    joins_normed = False  # the sum is normed

    @property
    def width(self) -> int:
        """Of the tokens."""
        return self.visual.conv1.out_channels

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return self.visual.conv1.kernel_size[0]

    @property
    def blocks(self) -> nn.ModuleList:
        """In their order."""
        return self.visual.transformer.resblocks

    def heads(self, number: int) -> int:
        """Of a block's attention."""
        return self.blocks[number].attn.num_heads

    def embed(self, images: Tensor) -> Tokens:
        """Tokens before the first block, of images (B, 3, H, W) of whole patches."""
        visual, grid = self.visual, grid_of(images, self.visual.conv1.weight)
        front = visual.class_embedding * (2 if self.class_token_twice else 1)
        x = visual.conv1(images).flatten(2).transpose(1, 2)
        x = torch.cat([front.expand(len(x), 1, -1), x], dim=1)
        x = x + placed(visual.positional_embedding[None], grid, before=1, mode=self.positions)
        return Tokens(visual.ln_pre(x), grid)

    def run(self, number: int, tokens: Tokens, mask: Tensor | Guided | None = None) -> Tokens:
        """One block; a mask (B or 1, heads or 1, T, T) is added to the logits. Factors are applied step by step."""
        x, block = tokens.x, self.blocks[number]
        if not self.fused or isinstance(mask, Guided):  # PyTorch's attention shows no one its values
            x = x + block.ls_1(plain_attention(block.attn, block.ln_1(x), mask))
            return Tokens(x + block.ls_2(block.mlp(block.ln_2(x))), tokens.grid)
        if mask is not None:  # PyTorch's attention takes images and heads as one dimension
            images, many = x.shape[:2]
            mask = mask.expand(images, self.heads(number), many, many).flatten(0, 1)
        return Tokens(block(x, attn_mask=mask), tokens.grid)

    def joint(self, tokens: Tokens | None, other: Tokens | None = None) -> Tensor:
        """[global | patches] (B, 1 + h w, E) beside the texts: one norm, then the projection of the class token.

        Of this encoder's tokens, another's, or their sum.
        """
        return self.visual.ln_post(global_and_patches(merged(tokens, other))) @ self.visual.proj
