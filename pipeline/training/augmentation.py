"""Augmentation of training pictures: a whole batch at a time, on the device that trains."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from pipeline.config.schema import Augmentation

BLACK, WHITE = 0.0, 255.0


def augment(images: Tensor, settings: Augmentation) -> Tensor:
    """uint8 (B, C, H, W) → the same shape in 0..255 as float32, each picture changed by its own draw.

    Rotation, mirror image and shift are one bilinear resampling; what comes in from outside is black.
    """
    images = images.float()
    if settings.rotate or settings.flip or settings.crop:
        grid = affine_grid(matrices(images, settings), list(images.shape), align_corners=False)  # (B, H, W, 2)
        images = grid_sample(images, grid, align_corners=False)
    if settings.noise:
        images = images + settings.noise * torch.randn_like(images)
    return images.clamp(BLACK, WHITE)


def matrices(images: Tensor, settings: Augmentation) -> Tensor:
    """(B, 2, 3): where each pixel of the new picture is found in the old one; sides run from −1 to 1."""
    number, _, height, width = images.shape
    draw = torch.rand(4, number, device=images.device)
    angle = (2 * draw[0] - 1) * math.radians(settings.rotate)
    mirror = torch.where(draw[1] < settings.flip, -1.0, 1.0)
    # whole pixels, each shift from −crop to crop equally likely
    right, down = ((draw[2:] * (2 * settings.crop + 1)).floor() - settings.crop).unbind()
    cos, sin = angle.cos(), angle.sin()
    rows = [
        torch.stack([mirror * cos, -sin * height / width, 2 * right / width], dim=1),
        torch.stack([mirror * sin * width / height, cos, 2 * down / height], dim=1),
    ]
    return torch.stack(rows, dim=1)
