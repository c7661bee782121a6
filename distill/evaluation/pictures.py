"""Pictures of densities: samples, heatmaps, and what each layer of a flow does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from torch import Tensor

from distill.bijectors import Chain, Flip, Permute
from distill.contract import Features
from distill.evaluation.placing import evaluating, move, place_of, rows_of
from distill.models import Density, Flow

_COLORS = ("#3b6fb6", "#d1495b", "#6b6b6b", "#2e8b57")
_QUADRANTS = np.array(["#3b6fb6", "#e0a030", "#d1495b", "#2e8b57"])
_PAIR_SITES = 4
_LAYER_PANELS = 10
_CONDITIONS = 16


def samples_figure(samples: Mapping[str, Tensor], loc: Tensor, scale: Tensor) -> Figure:
    """Draw sets of values `(B, T)` side by side: scatters (T = 2), histograms (T = 1), or pairs.

    Arguments:
        samples: By name, the reference last.
        loc: Center of the view, one number a site.
        scale: The view reaches a few of these, and a little beyond the reference.
    """
    sets = {name: _array(x) for name, x in samples.items()}
    sites = next(iter(sets.values())).shape[1]
    limits = _limits(list(sets.values())[-1], _array(loc), _array(scale))
    if sites == 2:
        figure, axes = _row(len(sets), limits)
        for axis, (name, x), color in zip(axes, sets.items(), _COLORS, strict=False):
            _scatter(axis, x, limits, color)
            axis.set_title(name)
        return figure
    shown = min(sites, _PAIR_SITES)
    figure = Figure(figsize=(2.1 * shown + 1.2, 2.1 * shown + 0.6), layout="constrained")
    grid = figure.subplots(shown, shown, squeeze=False)
    for i in range(shown):
        for j in range(shown):
            axis = grid[i, j]
            axis.tick_params(labelsize=7)
            if j > i:
                axis.set_axis_off()
            elif i == j:
                _histograms(axis, {name: x[:, i] for name, x in sets.items()}, limits[i])
                axis.set_title(f"site {i}", fontsize=9)
            else:
                for x, color in zip(sets.values(), _COLORS, strict=False):
                    _scatter(axis, x[:1500, [j, i]], limits[[j, i]], color, equal=False, alpha=0.25)
    corner = grid[0, 0] if shown == 1 else grid[0, -1]
    lines = grid[0, 0].get_lines()
    corner.legend(lines, list(sets), loc="upper right", fontsize=8, frameon=False)
    return figure


@torch.no_grad()
def density_figure(
    model: Density,
    samples: Tensor,
    data: Tensor,
    features: Features = None,
    resolution: int = 150,
    title: str = "density",
) -> Figure:
    """Draw a model's density as a heatmap beside its samples and the data (T = 2).

    With features the heatmap is the mean over their first rows. Other T give `samples_figure`.

    Arguments:
        model: The density.
        samples: Its samples `(B, T)`.
        data: Values to compare with `(B, T)`.
        features: Conditions to average over.
        resolution: The heatmap has about its square of points.
        title: Of the heatmap.
    """
    loc, scale = data.mean(0), data.std(0)
    if data.shape[1] != 2:
        return samples_figure({"samples": samples, "data": data}, loc, scale)
    limits = _limits(_array(data), _array(loc), _array(scale))
    figure, axes = _row(3, limits)
    spans = limits[:, 1] - limits[:, 0]
    counts = np.clip(resolution * spans / np.sqrt(spans.prod()), 16, 4 * resolution).astype(int)
    x, y = (np.linspace(a, b, n) for (a, b), n in zip(limits, counts, strict=True))
    points = torch.from_numpy(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))
    heat = _density(model, points, features).reshape(len(y), len(x))
    # A square root shows what holds a percent of the peak.
    axes[0].pcolormesh(
        x, y, heat, cmap="magma", norm=PowerNorm(0.5, vmin=0), shading="gouraud", rasterized=True
    )
    _frame(axes[0], limits)
    axes[0].set_title(title)
    for axis, values, name, color in zip(
        axes[1:], (samples, data), ("samples", "data"), (_COLORS[0], _COLORS[2]), strict=True
    ):
        _scatter(axis, _array(values), limits, color)
        axis.set_title(name)
    return figure


def layers_figure(flow: Flow, noise: Tensor, features: Features = None) -> Figure:
    """Draw the values after each layer, colored by the quadrant of the noise they came from.

    The first two sites are shown, always in the data's order; a single site is drawn against its
    noise. Layers that only permute sites are left out, and long chains are thinned.

    Arguments:
        flow: Its layers are read from noise to data.
        noise: `(B, T)`.
        features: Conditions of B rows.
    """
    with evaluating(flow):
        values = _in_data_order(flow, flow.trace(noise, features))
    titles = ["noise", *[f"layer {i}" for i in range(1, len(values) - 1)], "sample"]
    kept = list(range(len(values)))
    if len(kept) > _LAYER_PANELS:
        kept = [kept[i] for i in np.linspace(0, len(kept) - 1, _LAYER_PANELS).round().astype(int)]
    start = values[0]
    second = start[:, 1] if start.shape[1] > 1 else np.zeros(len(start))
    quadrant = _QUADRANTS[(start[:, 0] < 0) + 2 * (second < 0)]
    rows = -(-len(kept) // 5)
    columns = -(-len(kept) // rows)
    figure = Figure(figsize=(2.3 * columns, 2.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(kept) :]:
        axis.set_axis_off()
    for axis, i in zip(axes, kept, strict=False):
        value = (
            values[i][:, :2] if start.shape[1] > 1 else np.stack([start[:, 0], values[i][:, 0]], 1)
        )
        axis.scatter(value[:, 0], value[:, 1], s=3, c=quadrant, alpha=0.6, linewidths=0)
        spread = np.percentile(value, [0.5, 99.5], axis=0).T
        _frame(axis, _padded(spread), equal=False)
        axis.set_title(titles[i], fontsize=9)
        axis.tick_params(labelsize=7)
    return figure


def _in_data_order(flow: Flow, values: list[Tensor]) -> list[np.ndarray]:
    """Drop the values after permutations, and carry the others through those to come."""
    if not isinstance(flow.bijector, Chain):
        return [_array(v) for v in values]
    layers = list(flow.bijector.layers)
    shown = []
    for i, value in enumerate(values):
        if i and isinstance(layers[i - 1], Flip | Permute):
            continue
        for later in layers[i:]:
            if isinstance(later, Flip | Permute):
                value = later(value)[0]
        shown.append(_array(value))
    return shown


def _density(model: Density, points: Tensor, features: Features) -> np.ndarray:
    device, dtype = place_of(model)
    points = points.to(device, dtype)
    rows = min(_CONDITIONS, len(next(iter(features.values())))) if features else 1
    total = np.zeros(len(points))
    with evaluating(model):
        for row in range(rows):
            given = rows_of(features, row, 1)
            given = given and {k: v.expand(len(points), *v.shape[1:]) for k, v in given.items()}
            score = model.log_prob(points, move(given, device, dtype)).sum(-1)
            total += _array(score.exp()) / rows
    return np.nan_to_num(total, posinf=0.0)


def _row(panels: int, limits: np.ndarray) -> tuple[Figure, Sequence[Axes]]:
    """Return panels that suit the shape of the data: beside each other, or stacked when wide."""
    width, height = limits[:, 1] - limits[:, 0]
    ratio = float(np.clip(height / width, 0.15, 2.0))
    if ratio < 0.5:
        figure = Figure(figsize=(8, (8 * ratio + 0.5) * panels), layout="constrained")
        return figure, list(figure.subplots(panels, 1, squeeze=False)[:, 0])
    figure = Figure(figsize=(3.4 * panels, 3.4 * ratio + 0.5), layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _scatter(
    axis: Axes,
    x: np.ndarray,
    limits: np.ndarray,
    color: str,
    equal: bool = True,
    alpha: float = 0.5,
) -> None:
    size = float(np.clip(8000 / max(len(x), 1), 2, 6))
    axis.scatter(x[:, 0], x[:, 1], s=size, color=color, alpha=alpha, linewidths=0, rasterized=True)
    _frame(axis, limits, equal)


def _histograms(axis: Axes, sets: Mapping[str, np.ndarray], limits: np.ndarray) -> None:
    edges = np.linspace(limits[0], limits[1], 61)
    for (name, x), color in zip(sets.items(), _COLORS, strict=False):
        # Divided by all values, so that what lies outside of the view is missed.
        height = np.histogram(x, edges)[0] / (len(x) * (edges[1] - edges[0]))
        axis.plot((edges[1:] + edges[:-1]) / 2, height, color=color, lw=1.2, label=name)
    axis.set_xlim(limits[0], limits[1])
    axis.set_ylim(0)
    axis.set_yticks([])


def _frame(axis: Axes, limits: np.ndarray, equal: bool = True) -> None:
    axis.set_xlim(*limits[0])
    axis.set_ylim(*limits[1])
    if equal and 0.1 < np.ptp(limits[1]) / np.ptp(limits[0]) < 10:
        axis.set_aspect("equal")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _limits(x: np.ndarray, loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the view `(T, 2)`: all of the data, but no lonely outlier."""
    low = np.maximum(x.min(0), loc - 5 * scale)
    high = np.minimum(x.max(0), loc + 5 * scale)
    return _padded(np.stack([low, high], 1))


def _padded(limits: np.ndarray) -> np.ndarray:
    limits = np.nan_to_num(limits, nan=0.0, posinf=1e6, neginf=-1e6)
    room = 0.08 * np.maximum(np.ptp(limits, axis=1, keepdims=True), 1e-6)
    return limits + room * np.array([-1.0, 1.0])


def _array(x: Tensor) -> np.ndarray:
    return x.detach().to("cpu", torch.float64).numpy()
