"""From the modules of a student to the arrays of the compiled loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.bijectors import Affine, Autoregressive, LinearPrediction, Standardize
from distill.export.metadata import dtype_of
from distill.kernels import panels
from distill.kernels.filter_chunk import Filter
from distill.kernels.flow_chunk import FlowWeights
from distill.kernels.frames_chunk import Convolutions, Encoder, Pitch
from distill.kernels.harmonics_chunk import Harmonics
from distill.models import Flow
from distill.networks import Envelope, FrameEncoder, HarmonicEncoder, VectorEncoder, WaveNet
from distill.networks.context_reader import ContextBlocks
from distill.networks.envelope import HIGHEST, LOWEST
from distill.networks.frame_features import channels_of, is_centered
from distill.networks.gated_stack_fast import layers_of
from distill.networks.harmonic_encoder import LOUDEST
from distill.networks.missing import MissingPhase, MissingPitch
from distill.networks.pitch_contour import LEAP
from distill.networks.pitch_estimator import BESIDE
from distill.networks.upsample import SLOPE, FrameConv
from distill.networks.wavenet_layer import WaveNetLayer
from distill.networks.wavenet_stack import stack_of

_NONE = np.zeros((0, 0), np.float32)
_ENCODERS = (FrameEncoder, HarmonicEncoder, VectorEncoder)


class Sampler(NamedTuple):
    """A student as the loops compute it.

    Arguments:
        encoder: `None` without features at frame rate.
        harmonics: What it adds.
        flows: In the order of sampling.
        loc: What the last step adds.
        scale: What it multiplies by.
        filter: What ends in the signal, `None` without whitening.
        mel: Columns of the frames that the filter reads.
        beside: What labels and vectors add to every row, in this order: of a label its table
            `(labels, size)`, of a vector location and scale, `(2, size)`.
    """

    encoder: Encoder | None
    harmonics: Harmonics
    flows: list[FlowWeights]
    loc: float
    scale: float
    filter: Filter | None
    mel: slice
    beside: dict[str, np.ndarray]


def sampler_of(model: Flow) -> Sampler:
    """Take a student apart.

    Errors:
        ValueError: A module that the loops don't know, or sizes that they don't take.
    """
    encoder = model.encoder
    if dtype_of(model) != torch.float32:
        raise _unknown(str(dtype_of(model)))
    known = encoder is None or type(encoder) in _ENCODERS
    if model.spec.sites is not None or not known:
        what = "values of a fixed number of sites" if known else type(encoder).__name__
        raise _unknown(what)
    flows, loc, scale, ends = list[FlowWeights](), 0.0, 1.0, None
    for layer in model._layers:
        first = (loc, scale) == (0.0, 1.0)
        if ends is not None or not (first or isinstance(layer, LinearPrediction)):
            raise _unknown(f"a {type(layer).__name__} behind another end")
        if isinstance(layer, LinearPrediction):
            ends = layer
        elif isinstance(layer, Standardize) and len(layer.loc) == 1:
            loc, scale = float(layer.loc), float(layer.scale)
        else:
            flows.append(_flow(layer, model.spec.hop))
    framed = encoder if isinstance(encoder, FrameEncoder) else None
    envelope = framed.envelope if framed else None
    if (ends is None) != (envelope is None):
        raise _unknown("a filter without an envelope")
    return Sampler(
        _encoder(framed, model) if framed else None,
        _harmonics(framed),
        flows,
        loc,
        scale,
        None if envelope is None else _filter(envelope),
        channels_of(model.spec).get("mel", slice(0)),
        _beside(encoder),
    )


def _unknown(what: str) -> ValueError:
    return ValueError(
        f"export=loops: wanted a student of signals by wavenet_iaf in float32, without features or "
        f"with an encoder of mode=repeat, got {what}. Use export=onnx."
    )


def _array(value: Tensor, dtype: torch.dtype = torch.float32) -> np.ndarray:
    # Always a copy: the student may go on training, and strides of a single row may be anything.
    return np.array(value.detach().to("cpu", dtype).numpy(), order="C")


def _columns(weight: Tensor, bias: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return weights, inputs first, and biases, filled up to whole vectors of columns."""
    missing = -weight.shape[0] % panels.PANEL
    return _array(F.pad(weight.T, (0, missing))), _array(F.pad(bias, (0, missing)))


def _flow(layer: nn.Module, hop: int) -> FlowWeights:
    if not isinstance(layer, Autoregressive):
        raise _unknown(f"a {type(layer).__name__}")
    net, transform = layer.conditioner, layer.transform
    if type(net) is not WaveNet or type(transform) is not Affine:
        raise _unknown(f"a {type(net).__name__} with {type(transform).__name__}")
    if hop % net.block:
        raise _unknown(f"blocks of {net.block} sites, which don't divide the hop of {hop}")
    layers: list[WaveNetLayer] = list(net.layers)  # type: ignore[arg-type]
    last, last_bias = _columns(net.last.weight, net.last.bias)
    factor = len(layers) ** -0.5 if net.skip_channels else 1.0
    project, source = net.from_context, net.from_source
    like = net.first.weight.new_empty(1, 1, net.channels)
    stack, given = stack_of(net, layers, like, ContextBlocks())
    skips = [own.out.bias[own.sizes[0] :] for own in layers]
    return FlowWeights(
        first=_array(net.first.weight.T * net.input_scale),
        first_bias=_array(net.first.bias),
        source=_NONE if source is None else _array(source.weight.T),
        context=_NONE if project is None else _array(project.weight.T),
        base=_array(given.base.flatten()),
        layers=layers_of(stack, like, given, turned=True),
        skip_bias=_array(torch.stack(skips).sum(0)),
        hidden=_array(net.hidden.weight.T * factor),
        hidden_bias=_array(net.hidden.bias),
        last=last,
        last_bias=last_bias,
        reach=np.array([own.reach for own in layers]),
        block=net.block,
        history=net.history,
        around=net.pitch_taps,
        longest=net.longest_lag,
        periods=net.pitch_periods,
        mixes=net.inner.coefficients > 0,
        bound=float(transform.bound or 0.0),
        log_scale=float(transform.log_scale),
    )


def _encoder(encoder: FrameEncoder, model: Flow) -> Encoder:
    stages = [stage for stage in encoder.stages if isinstance(stage, FrameConv)]
    if len(stages) != len(encoder.stages):
        raise _unknown("an encoder of another mode")
    places, parts = channels_of(model.spec), list(encoder.missing)
    pitch = next((part for part in parts if isinstance(part, MissingPitch)), None)
    return Encoder(
        pitch=_pitch(pitch),
        adds_phase=any(isinstance(part, MissingPhase) for part in parts),
        f0=places["f0"].start if "f0" in places else -1,
        phase=places["phase"].start if "phase" in places else -1,
        settled=encoder._line is not None,
        loc=_array(encoder.frames_loc),
        scale=_array(encoder.frames_scale),
        stages=_convolutions(stages),
        look_ahead=encoder.look_ahead,
        reach=encoder.reach,
        rate=float(model.spec.sample_rate or 1),
        hop=model.spec.hop,
        centered=is_centered(model.spec),
        leap=LEAP,
    )


def _pitch(part: MissingPitch | None) -> Pitch:
    if part is None:
        none = np.zeros(0, np.float32)
        return Pitch(
            np.zeros(0, np.int64), none, none, _convolutions([]), _NONE, none, none, 0, 0, 0
        )
    own = part.estimator
    last, bias = _columns(own.last.weight, own.last.bias)
    columns = [np.arange(place.start, place.stop) for place in part.places]
    return Pitch(
        inputs=np.concatenate(columns),
        loc=_array(part.loc),
        scale=_array(part.scale),
        layers=_convolutions(list(own.layers)),  # type: ignore[arg-type]
        last=last,
        bias=bias,
        centers=_array(own.centers),
        beside=own.reach,
        ahead=own.latency,
        width=BESIDE,
    )


def _convolutions(stages: list[FrameConv]) -> Convolutions:
    sizes = [[s.kernel, s.taps.in_features // s.kernel, s.channels] for s in stages]
    flat = [part.flatten() for s in stages for part in (s.taps.weight.T, s.taps.bias)]
    weights = _array(torch.cat([torch.zeros(0), *flat]))
    return Convolutions(np.array(sizes, np.int64).reshape(-1, 3), weights, SLOPE)


def _harmonics(encoder: Any) -> Harmonics:
    none = np.zeros(0, np.float32)
    if not isinstance(encoder, HarmonicEncoder):
        return Harmonics(0, _NONE, none, _NONE, none, LOUDEST)
    mixing, loudness = encoder.mixing, encoder.loudness
    if mixing is None or loudness is None:
        return Harmonics(encoder.harmonics, _NONE, none, _NONE, none, LOUDEST)
    return Harmonics(
        encoder.harmonics,
        _array(mixing.weight.T),
        _array(mixing.bias),
        _array(loudness.weight.T),
        _array(loudness.bias),
        LOUDEST,
    )


def _beside(encoder: Any) -> dict[str, np.ndarray]:
    if encoder is None:
        return {}
    sizes = {name: f.size for name, f in encoder.features.items() if f.kind != "frames"}
    labels = [name for name in sizes if encoder.features[name].kind == "label"]
    made = {}
    if isinstance(encoder, FrameEncoder):  # its labels come first, and are embedded
        made = {name: _array(encoder.embeddings[name].weight) for name in labels}  # type: ignore[arg-type]
        sizes = {name: size for name, size in sizes.items() if name not in labels}
        both = torch.stack([encoder.vector_loc, encoder.vector_scale])
    else:
        both = torch.stack([encoder.loc, encoder.scale])
    for (name, size), own in zip(sizes.items(), both.split(list(sizes.values()), 1), strict=True):
        made[name] = _array((torch.eye(size) - own[0]) / own[1] if name in labels else own)
    return made


def _filter(envelope: Envelope) -> Filter:
    weight, bias, tents, cosines, floor = (
        _array(value, torch.float64)
        for value in (
            envelope.weight,
            envelope.bias,
            envelope.interpolation,
            envelope.cosines,
            envelope.floor,
        )
    )
    return Filter(weight, bias, LOWEST, HIGHEST, tents, cosines, floor)
