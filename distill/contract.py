"""The records that every floor passes around: what a dataset promises, a batch, a draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor

from distill.checks import check_record, check_wholes

__all__ = ["Batch", "Context", "DataSpec", "Draw", "FeatureSpec", "Features", "Prediction"]

KINDS = ("vector", "frames", "label")
Features = Mapping[str, Tensor] | None
"""Raw conditioning by name, each with the batch as its first axis; `None` without any."""


@dataclass(frozen=True)
class FeatureSpec:
    """What one named feature is.

    Arguments:
        kind: `vector` for `(B, size)` floats, `frames` for `(B, F, size)` floats at `hop` sites a
            frame, `label` for `(B,)` integers below `size`.
        size: Channels, or the number of labels.
        loc: Location of each channel, for encoders that standardize; empty for none.
        scale: Scale of each channel, likewise.
        optional: Whether a trained model can do without it: it then estimates it from the others.

    Errors:
        ValueError: Another kind, or a size below 1.
    """

    kind: str
    size: int
    loc: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    optional: bool = False

    def __post_init__(self) -> None:
        """Check kind and size."""
        check_wholes(type(self), vars(self), "size")
        if self.kind not in KINDS:
            kinds = ", ".join(KINDS)
            raise ValueError(f"FeatureSpec.kind: wanted one of {kinds}, got {self.kind!r}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureSpec:
        """Rebuild the record that `DataSpec.to_dict` wrote, tuples or lists."""
        return cls(**check_record(cls, values, tuples=("loc", "scale")))


@dataclass(frozen=True)
class DataSpec:
    """What a model must know of its data to be built: it travels in every checkpoint.

    Arguments:
        sites: Length T of one value, or `None` where it varies (audio).
        loc: Location of the data, one number a site, or one for all sites.
        scale: Scale of the data, likewise.
        features: The conditioning, by name.
        sample_rate: Sites per second, for signals.
        hop: Sites per frame, for features of kind `frames`.
        settings: Anything else that a later stage must match (a mel's settings, say).

    Errors:
        ValueError: Sites, a rate or a hop below 1.
    """

    sites: int | None
    loc: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    features: dict[str, FeatureSpec] = field(default_factory=dict)
    sample_rate: int | None = None
    hop: int = 1
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the numbers of sites."""
        check_wholes(type(self), vars(self), "sites", "sample_rate", "hop")

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for a checkpoint or a JSON file: lists, never tuples."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataSpec:
        """Rebuild the record that `to_dict` wrote, also after a trip through JSON.

        Errors:
            ValueError: An unknown or missing entry, or one of another type.
        """
        fields = check_record(cls, values, tuples=("loc", "scale"))
        features = fields.get("features") or {}
        if not isinstance(features, Mapping):
            raise ValueError(f"{cls.__name__}.features: wanted them by name, got {features!r}.")
        fields["features"] = {name: FeatureSpec.from_dict(v) for name, v in features.items()}
        fields["settings"] = dict(fields.get("settings") or {})
        return cls(**fields)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Prediction:
    r"""A linear predictor for each frame: $x_t = g\,e_t + \sum_k a_k x_{t-k}$.

    Arguments:
        coefficients: $a_1, \dots, a_p$ of each frame, `(B, F, p)`, float64.
        log_gain: $\log g$, `(B, F)`, float64.
        hop: Sites per frame.
        autocorrelation: $r_0, \dots, r_p$ that both were found from, `(B, F, p + 1)`, float64. An
            exported graph ends there, and its loader solves for them.
    """

    coefficients: Tensor
    log_gain: Tensor
    hop: int
    autocorrelation: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Prediction:
        """Return the prediction with every tensor changed alike."""
        r = self.autocorrelation
        return Prediction(
            change(self.coefficients),
            change(self.log_gain),
            self.hop,
            None if r is None else change(r),
        )


@dataclass(frozen=True)
class Context:
    """Encoded conditioning: flows pass it on, and each layer reads by name what it needs.

    Arguments:
        rows: `(B, R, C)`, each row held for `hop` sites, or `(B, C)`, one row for all sites.
        hop: Sites per row.
        source: Numbers for each site, `(B, T, S)`: an excitation of known pitch, say.
        lag: Sites of one pitch period at each site, `(B, T)`, 0 where nothing is voiced.
        prediction: Of a signal from its own past.

    Example:
        >>> import torch
        >>> Context(torch.zeros(2, 5, 3), hop=4).rows.shape
        torch.Size([2, 5, 3])
    """

    rows: Tensor | None = None
    hop: int = 1
    source: Tensor | None = None
    lag: Tensor | None = None
    prediction: Prediction | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Context:
        """Return the context with every tensor changed alike.

        Example:
            >>> import torch
            >>> Context(torch.zeros(4, 2)).each(lambda value: value[:3]).rows.shape
            torch.Size([3, 2])
        """
        rows, source, lag = (
            None if value is None else change(value) for value in (self.rows, self.source, self.lag)
        )
        said = self.prediction
        return Context(rows, self.hop, source, lag, None if said is None else said.each(change))

    def part(self, begin: int, end: int) -> Context:
        """Return the context of the sites from `begin` to before `end`, of whole rows.

        Example:
            >>> import torch
            >>> Context(torch.zeros(2, 5, 3), hop=4).part(4, 12).rows.shape
            torch.Size([2, 2, 3])
        """

        def cut(values: Tensor, hop: int = 1) -> Tensor:
            return values[:, begin // hop : -(-end // hop)]

        parts: dict[str, Any] = {
            name: cut(value)
            for name in ("source", "lag")
            if (value := getattr(self, name)) is not None
        }
        if self.rows is not None and self.rows.dim() == 3:
            parts["rows"] = cut(self.rows, self.hop)
        if (said := self.prediction) is not None:
            parts["prediction"] = said.each(lambda values: cut(values, said.hop))
        return replace(self, **parts)

    def need(self, name: str, owner: object, remedy: str) -> Any:
        """Return a field.

        Errors:
            ValueError: It is not there; the message names the owner, the field and the remedy.
        """
        value = getattr(self, name)
        if value is None:
            raise ValueError(
                f"{type(owner).__name__}: wanted a context with {name}, got one without. {remedy}"
            )
        return value


@dataclass(frozen=True)
class Batch:
    """Values `x` `(B, T)`, their features, and a mask `(B, T)` that is 0 at padded sites.

    Arguments:
        x: Values.
        features: Raw.
        mask: Or `None` where nothing is padded.
        contexts: What models have made of the features already, `student` and `teacher`.
        practice: As many rows of others, which alone teach encoders to estimate missing ones.
    """

    x: Tensor
    features: Features = None
    mask: Tensor | None = None
    contexts: Mapping[str, Context | None] = field(default_factory=dict)
    practice: Features = None

    def given(self, role: str) -> Features | Context:
        """Return what a model is to be given: its context where it was encoded, or raw features."""
        return self.contexts.get(role, self.features)

    def part(self, begin: int, end: int) -> Batch:
        """Return rows `begin` to before `end`.

        Example:
            >>> import torch
            >>> Batch(torch.zeros(4, 2)).part(1, 3).x.shape
            torch.Size([2, 2])
        """
        return self._each(lambda tensor: tensor[begin:end])

    def to(self, device: Any, non_blocking: bool = False) -> Batch:
        """Return the batch on another device; `non_blocking` goes on while it is copied."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Return the batch in memory that a GPU reads by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        both = (self.features, self.practice)
        given, practice = (named and {k: change(v) for k, v in named.items()} for named in both)
        mask = None if self.mask is None else change(self.mask)
        return Batch(change(self.x), given, mask, practice=practice)


@dataclass(frozen=True)
class Draw:
    r"""A sample that already carries its own exact log-density; every field is `(B, T)`.

    $$\log q(x) = \sum_t \log p(u_t) - \log\lvert\partial x_t/\partial u_t\rvert$$

    The noise is kept, so nothing has to be inverted: this record *is* the cache of an IAF.

    Arguments:
        x: The sample.
        noise: The base variates u that it came from.
        log_det: Log-determinant of noise to sample, per site.
        log_prob: Log-density of `x`, per site; its sum over sites is the true one.
        locatable: Whether the sampler keeps the order of sites and is affine in each, so that
            `loc` and `log_scale` are those of the conditional of `x_t` given earlier noise.
    """

    x: Tensor
    noise: Tensor
    log_det: Tensor
    log_prob: Tensor
    locatable: bool = False

    @property
    def log_scale(self) -> Tensor:
        """Log-scale of the conditional of each site given the noise before it."""
        self._check_locatable("log_scale")
        return self.log_det

    @property
    def loc(self) -> Tensor:
        """Location of the conditional of each site given the noise before it."""
        self._check_locatable("loc")
        return self.x - self.noise * self.log_det.exp()

    def _check_locatable(self, name: str) -> None:
        if not self.locatable:
            raise ValueError(
                f"Draw.{name}: wanted a sampler that keeps the order of sites with affine "
                "transforms; this one permutes or bends them. Use a flow without Permute, Flip "
                "or splines, or an objective that needs only log_prob (kl with method=log_ratio)."
            )
