"""The contracts of models: a density scores, a flow also draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from distill.bijectors import Bijector, Jacobi
from distill.checks import check_number
from distill.contract import Context, DataSpec, Features
from distill.models.fixed import fixed_of, fixed_on_meta, make_again
from distill.models.in_rounds import Rounds
from distill.models.recipe import Recipe

D = TypeVar("D", bound="Density")
M = TypeVar("M", bound=nn.Module)


class Density(nn.Module):
    r"""A trainable density of sequences `(B, T)`: a core and, outside of it, a fixed bijector.

    $$\log p(x) = \log p_{core}(e) + \log\lvert\partial e/\partial x\rvert,\qquad e = f^{-1}(x)$$

    Two models that end in the same outer bijector f, of the same context, have the same divergence
    before it as after it. So they are distilled by their cores, and f is only run to score a
    signal or to hear one. Without an outer bijector the core is the model itself.

    Wherever raw features are asked for, a context that was already encoded will do.

    Attributes:
        spec: What the model knows of its data.
        encoder: Turns raw features into a context, or `None`.
        outer: Carries values of about unit scale to data, or `None`.
        recipe: How it was built, for a file; `None` for a model that was put together by hand.
    """

    spec: DataSpec
    encoder: nn.Module | None
    outer: Bijector | None
    recipe: Recipe | None = None

    @property
    def core(self) -> Density:
        """The density of e: the same modules without the outer bijector."""
        return self

    @property
    def whole(self) -> Density:
        """The model that this is the core of, or itself."""
        return self.__dict__.get("_whole", self)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move; what no file holds has its numbers again where it comes from `meta`."""
        before = fixed_on_meta(self)
        moved = super()._apply(fn, recurse)
        make_again(self, before - fixed_on_meta(self))
        return moved

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Move without the weights' numbers, which a file has; what no file holds keeps its own."""
        moved = super().to_empty(device=device, recurse=recurse)
        make_again(self, fixed_of(self) - fixed_on_meta(self))
        return moved

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load weights, which a model on `meta` may take over (`assign=True`)."""
        found = super().load_state_dict(*args, **kwargs)
        if not any(weight.is_meta for weight in self.parameters()):
            make_again(self, fixed_on_meta(self))
        return found

    def context(self, features: Features | Context) -> Context | None:
        """Encode raw features, unless they are encoded already.

        Errors:
            ValueError: Features of a model whose data has none.
        """
        encoder = getattr(self, "encoder", None)
        if isinstance(features, Context):
            return features
        if encoder is None:
            named = features if isinstance(features, Mapping | None) else [type(features).__name__]
            if named and not self.spec.features:
                raise ValueError(
                    f"{type(self).__name__}: wanted no features, of which its data has none, got "
                    f"{', '.join(named)}. Leave them out, or build it from the spec of data with "
                    "features."
                )
            return None
        return encoder(features)

    def inward(self, x: Tensor, context: Context | None) -> tuple[Tensor, Tensor]:
        """Take data to the core's values; return the log-determinant of this way too."""
        outer = getattr(self, "outer", None)
        return (x, torch.zeros_like(x)) if outer is None else outer.inverse(x, context)

    def outward(self, value: Tensor, context: Context | None) -> Tensor:
        """Take the core's values to data."""
        outer = getattr(self, "outer", None)
        return value if outer is None else outer(value, context)[0]

    def bounded(self, min_log_scale: float) -> Density:
        """Return the density with no site sharper than a log-scale, in units of the data's scale.

        What bounds its scales by itself stays as it is.
        """
        return self

    def log_prob(self, x: Tensor, features: Features | Context = None) -> Tensor:
        """Return the log-density `(B, T)` of each site; its sum over sites is the true one.

        Errors:
            ValueError: What `values` refuses.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob.")

    def forward(self, x: Tensor, features: Features | Context = None) -> Tensor:
        """Score `x`."""
        return self.log_prob(x, features)

    def sample(
        self,
        count: int,
        features: Features | Context = None,
        *,
        sites: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
        jacobi: Jacobi | None = None,
    ) -> Tensor:
        """Draw `(count, T)`, without gradients.

        Arguments:
            count: Number of samples B.
            features: Conditioning of B rows.
            sites: T, where neither the data nor frames among the features fix it.
            seed: Makes the samples reproducible.
            temperature: Scales the noise.
            jacobi: Samples what is sequential by rounds of all sites at once, to its tolerance;
                `None` for site after site.

        Errors:
            ValueError: Values of no fixed length without `sites` or frames; a negative count or
                temperature; rounds that do not converge.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define sample.")

    def sample_in_rounds(
        self,
        count: int,
        features: Features | Context = None,
        *,
        sites: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
        jacobi: Jacobi,
    ) -> Rounds:
        """Draw as `sample` with `jacobi` does, and return what its rounds came to as well."""
        raise NotImplementedError(f"{type(self).__name__} does not define sample_in_rounds.")

    def values(self, x: Tensor) -> Tensor:
        """Return values to score, in the model's precision where that holds them exactly.

        Errors:
            ValueError: No tensor, of another shape or of more precision than the model.
        """
        name, sites = f"{type(self).__name__}.log_prob", self.spec.sites
        if not isinstance(x, Tensor):
            raise ValueError(
                f"{name}: wanted a tensor, got {type(x).__name__}. Make one with torch.as_tensor."
            )
        if x.ndim != 2 or sites not in (None, x.shape[1]):
            raise ValueError(
                f"{name}: wanted values of shape (batch, {sites or 'sites'}), got "
                f"{tuple(x.shape)}. Reshape them, or build the model with that number of sites."
            )
        none = x if x.is_floating_point() or x.is_complex() else torch.zeros(())
        own = next(self.parameters(), none).dtype
        if x.dtype == own:
            return x
        if x.is_complex() or torch.promote_types(x.dtype, own) != own:
            mine, theirs = (str(kind).removeprefix("torch.") for kind in (own, x.dtype))
            raise ValueError(
                f"{name}: wanted values in the model's {mine}, got {theirs}. Convert either: "
                f"x.to(torch.{mine}), or model.to(torch.{theirs})."
            )
        return x.to(own)

    def _check_draw(self, count: int, temperature: float) -> None:
        """Raise unless these are a number of samples and a temperature."""
        name = f"{type(self).__name__}.sample"
        check_number(f"{name}: count", count, low=0, whole=True)
        check_number(f"{name}: temperature", temperature, low=0)

    def _sites(self, sites: int | None, features: Features | Context = None) -> int:
        name, fixed = type(self).__name__, self.spec.sites
        if sites is not None:
            check_number(f"{name}.sample: sites", sites, low=1, whole=True)
            if fixed not in (None, sites):
                raise ValueError(
                    f"{name}.sample: wanted the {fixed} sites of its data, got sites={sites}. "
                    "Leave it out, or build the model with that number of sites."
                )
            return sites
        if fixed is not None:
            return fixed
        if isinstance(features, Context):
            if features.rows is not None and features.rows.dim() == 3:
                return features.rows.shape[1] * features.hop
        elif features:
            for name, value in features.items():
                framed = name in self.spec.features and self.spec.features[name].kind == "frames"
                if framed and isinstance(value, Tensor):
                    return value.shape[1] * self.spec.hop
        raise ValueError(
            f"{name}.sample: this model's values have no fixed length. Pass "
            "sites=..., the number of sites to draw, or features that are frames."
        )


def core_of(whole: D, core: D) -> D:
    """Let a core know the model that it is the core of."""
    core.training = whole.training
    core.__dict__["_whole"] = whole  # not a child module: it holds the core's own
    return core


def freeze(model: M) -> M:
    """Freeze a teacher: no gradient for its weights, evaluation mode; x keeps its graph."""
    return model.requires_grad_(False).eval()
