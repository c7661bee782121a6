"""Distance between the mel of a student's draw and that of the recording."""

from __future__ import annotations

from distill.contract import Batch, Draw
from distill.data.audio.mel import LogMel
from distill.functional import at_least_single, without_autocast
from distill.models import Density, Flow
from distill.objectives.objective import Loss, Objective
from distill.objectives.spectral import check_length


class LogMelDistance(Objective):
    r"""$\frac1{FB}\sum_{f,b}\lvert m_{f,b}(x) - m_{f,b}(y)\rvert$ with m the data's own log-mel.

    A student speaks from a mel: this asks that its sound has that mel again. Bands are as wide as
    an ear's, so that it follows how loud each of them is over time, which intelligibility hangs on
    and which a KL does not hear: it lets every frame's level scatter as that of noise does.

    Arguments:
        mel: Other settings than the data's own.

    Errors:
        ValueError: A student of something else than sound.

    Source: Kong et al., HiFi-GAN, 2020, arXiv 2010.05646, equation 6.
    """

    def __init__(self, mel: LogMel | None = None) -> None:
        super().__init__()
        self.mel = mel

    def check(self, student: Flow, teacher: Density) -> None:
        """Refuse a student of data that is no sound."""
        if student.spec.sample_rate is None or (
            self.mel is None and "mel" not in student.spec.settings
        ):
            raise ValueError(
                "LogMelDistance: wanted a student of sound, whose data has a sample rate and mel "
                "settings, got one of data without. Take the term out of the objective."
            )

    def forward(
        self, draw: Draw, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Average the distance over frames and bands."""
        mel, rate = self.mel or LogMel.of(student.spec), student.spec.sample_rate
        assert rate is not None
        check_length(self, draw.x, mel.fft)
        with without_autocast(draw.x.device):
            x, y = at_least_single(draw.x), at_least_single(batch.x)
            distance = (mel(x, rate) - mel(y, rate)).abs().mean()
        return Loss(distance, {"distance": distance.detach()})
