"""Spectral distances between a student's draw and the recording its features came from.

What fills a batch up is silence, and its features are those of silence, so that it counts as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from auraloss.freq import STFTLoss
from torch import Tensor, nn
from torch.nn import functional as F

from distill import rows
from distill.checks import check_number
from distill.contract import Batch, Draw
from distill.functional import at_least_single, without_autocast
from distill.models import Density, Flow
from distill.objectives.objective import Loss, Objective

_TINY = 1e-30
_FORMS = ("magnitude", "power", "log")
_SILENCE = 1e-14
"""Mean square of what float32 can't square once more."""


class PowerLoss(Objective):
    r"""$\|\phi(x) - \phi(y)\|^2$ with $\phi$ a spectrogram, averaged over time first or not.

    KL alone ends in a whisper: it asks for plausible sound, not for the right loudness. This term
    compares the student's one trajectory (never redraws) with the recording.

    Arguments:
        window: Length of the window, in sites.
        hop: Sites between windows; a quarter of the window by default.
        form: `magnitude` |X|, `power` |X|^2, or `log` log|X|.
        average: Average over time before comparing (Parallel WaveNet), or compare frames.
        floor: Added to |X|^2, in mean squares of the batch's recordings, so that silence has a
            finite gradient at any scale of the data.
        relative: Divide by $\|\phi(y)\|^2$ of the batch, so that a weight means the same for quiet
            and loud corpora.

    Source: van den Oord et al., Parallel WaveNet, 2017, arXiv 1711.10433, section 5.
    """

    window: Tensor

    def __init__(
        self,
        window: int = 512,
        hop: int | None = None,
        form: str = "magnitude",
        average: bool = True,
        floor: float = 2e-5,
        relative: bool = True,
    ) -> None:
        super().__init__()
        if form not in _FORMS:
            raise ValueError(f"PowerLoss: wanted form among {', '.join(_FORMS)}, got {form!r}.")
        check_number("PowerLoss: window", window, low=2, whole=True)
        if hop is not None:
            check_number("PowerLoss: hop", hop, low=1, whole=True)
        check_number("PowerLoss: floor", floor, low=0)
        self.hop = hop or max(1, window // 4)
        self.form = form
        self.average = average
        self.floor = floor
        self.relative = relative
        self.register_buffer("window", torch.hann_window(window), persistent=False)

    def spectrum(self, x: Tensor, floor: Tensor | float = 0.0) -> Tensor:
        """Return phi, `(B, bins)` or `(B, bins, frames)`, of |X|^2 and a floor."""
        size = len(self.window)
        check_length(self, x, size)
        bins = torch.stft(x, size, self.hop, window=self.window.to(x), return_complex=True)
        # Per window energy, so that values do not grow with the window.
        power = torch.view_as_real(bins).square().sum(-1) / self.window.square().sum() + floor
        phi = {"power": power, "magnitude": power.sqrt(), "log": 0.5 * power.log()}[self.form]
        return phi.mean(-1) if self.average else phi

    def forward(
        self, draw: Draw, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Average the squared distance."""
        with without_autocast(draw.x.device):
            x, y = at_least_single(draw.x), at_least_single(batch.x)
            # Of the whole batch, wherever its rows lie.
            power = rows.mean(y.square(), exact=True)
            floor = self.floor * power.clamp_min(_SILENCE)
            mine, wanted = self.spectrum(x, floor), self.spectrum(y, floor)
            off = (mine - wanted).square()
            if self.relative:
                above, below = rows.totals(off.sum(), wanted.square().sum())
                distance = above / below
            else:
                distance = rows.mean(off)
        return Loss(distance, {"distance": distance.detach()})


class _Magnitudes(STFTLoss):
    """The library's distance without the phases, which it finds even where they have no weight."""

    def stft(self, x: Tensor) -> tuple[Tensor, None]:
        """Return the magnitudes `(B, bins, frames)`."""
        sizes = self.fft_size, self.hop_size, self.win_length
        bins = torch.stft(x, *sizes, self.window, return_complex=True)
        power = torch.view_as_real(bins).square().sum(-1)
        return power.clamp_min(self.eps).sqrt(), None


class MultiResolutionSTFT(Objective):
    """Spectral convergence and log-magnitude distance over several windows, by auraloss.

    Arguments:
        windows: Window lengths, in sites; the hop is a quarter of each.

    Source: Yamamoto et al., Parallel WaveGAN, 2019, arXiv 1910.11480.
    """

    def __init__(self, windows: Sequence[int] = (128, 512, 1024)) -> None:
        super().__init__()
        sizes = list(windows)
        if not sizes:
            raise ValueError("MultiResolutionSTFT: wanted at least one window, got none.")
        for size in sizes:
            check_number("MultiResolutionSTFT: windows", size, low=4, whole=True)
        self.longest = max(sizes)
        self.distances = nn.ModuleList(_Magnitudes(w, w // 4, w) for w in sizes)

    def forward(
        self, draw: Draw, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Average the distance of draw and recording."""
        check_length(self, draw.x, self.longest)
        with without_autocast(draw.x.device):
            x, y = at_least_single(draw.x), at_least_single(batch.x)
            whole = rows.are_all()
            distance = self._of_all(x, y) if whole else self._of_share(x, y)
        return Loss(distance, {"distance": distance.detach()})

    def _of_all(self, x: Tensor, y: Tensor) -> Tensor:
        each = [one(x[:, None], y[:, None]) for one in self.distances]
        return torch.stack(each).mean()

    def _of_share(self, x: Tensor, y: Tensor) -> Tensor:
        """Return what the library returns of the whole batch, from the sums of its shares."""
        parts = []
        for one in self.distances:
            assert isinstance(one, _Magnitudes)
            one.window = one.window.to(x.device)
            (mine, _), (wanted, _) = one.stft(x), one.stft(y)
            off, size = rows.totals((wanted - mine).square().sum(), wanted.square().sum())
            log = F.l1_loss(mine.log(), wanted.log())
            parts.append((off / size).clamp_min(_TINY).sqrt() + log)
        return torch.stack(parts).mean()


def check_length(objective: Objective, x: Tensor, window: int) -> None:
    """Raise if values are too short for a window."""
    if x.shape[1] < window:
        raise ValueError(
            f"{type(objective).__name__}: wanted values of at least {window} sites, its longest "
            f"window, got {x.shape[1]}. Take longer crops, or shorter windows."
        )
