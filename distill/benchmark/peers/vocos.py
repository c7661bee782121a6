"""Vocos: the vocoder without a density that a student of sound is as fast as, or not."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distill.benchmark.counting import affine, count
from distill.benchmark.inputs import Inputs
from distill.benchmark.peers.peer import Peer
from distill.benchmark.race import Contestant
from distill.benchmark.teachers import megabytes_of
from distill.evaluation.placing import place_of
from distill.models import Density

_MELS, _WIDTH, _INNER, _BLOCKS, _FFT, _HOP = 100, 512, 1536, 8, 1024, 256


class Vocos(Peer):
    """Vocos of its published sizes for mels at 24 kHz: 13.5 M parameters, hop 256.

    It draws as many samples as the student does, and whatever its frames hold beyond.

    Source: Siuzdak, Vocos, 2023, arXiv 2306.00814.
    """

    package = "vocos"
    backend = "24kHz"
    modules = ("vocos", "vocos.heads", "vocos.models")

    def refuses(self, teacher: Density) -> str | None:
        """Refuse values that are no signals."""
        if teacher.spec.sites is None:
            return None
        return "it makes sound only, and these values have a fixed number of sites"

    def contestant(self, teacher: Density, inputs: Inputs, told: str) -> Contestant:
        """Return backbone and head, where the teacher is."""
        from vocos.heads import ISTFTHead
        from vocos.models import VocosBackbone

        device, dtype = place_of(teacher)
        model = torch.nn.Sequential(
            VocosBackbone(
                input_channels=_MELS, dim=_WIDTH, intermediate_dim=_INNER, num_layers=_BLOCKS
            ),
            ISTFTHead(dim=_WIDTH, n_fft=_FFT, hop_length=_HOP, padding="center"),
        )
        model = model.to(device, dtype).eval()
        frames = math.ceil(inputs.sites / _HOP) + 1

        @torch.no_grad()
        def draw(batch: int) -> Tensor:
            return model(torch.randn(batch, _MELS, frames, device=device, dtype=dtype))

        return Contestant(
            self.package,
            self.backend,
            draw,
            device,
            (frames - 1) * _HOP,
            affine(lambda batch: count(lambda: draw(batch)), 1, 2),
            megabytes=megabytes_of(model),
            note=told,
        )
