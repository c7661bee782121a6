"""Bad input to a loaded sampler of signals: a clear refusal, and the next request served."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distill.export import Exported, load
from tests.export.students import HOP

MEL = torch.zeros(6, 5)


@pytest.fixture(scope="module", params=["pt2", "onnx"])
def exported(request, signals) -> Exported:
    return load(signals(f"{request.param}-speakers")[1])


def given(mel, speaker=1):
    return {"mel": mel, "speaker": speaker}


BAD = {
    "other bands": (given(torch.zeros(6, 4)), r"'mel' wanted shape \(batch, frames, 5\).*6, 4"),
    "whole numbers": (given(MEL.long()), "wanted real numbers in floats, got int64"),
    "beyond single precision": (given(np.full((6, 5), 1e300)), "'mel' wanted finite numbers"),
    "half a speaker": (given(MEL, 0.5), "'speaker': wanted whole numbers"),
    "NaN": (given(MEL / 0), "'mel' wanted finite numbers"),
    "infinity": (given(MEL + float("inf")), "'mel' wanted finite numbers"),
    "no frames": (given(torch.zeros(0, 5)), "none of them 0"),
    "words": (given(np.array(["a"])), "wanted real numbers"),
    "no speaker": ({"mel": MEL}, "wanted the features mel, speaker; got mel"),
    "no mel": ({"speaker": 1}, "wanted the features mel, speaker; got speaker"),
    "an unknown speaker": (given(MEL, 3), r"labels 0\.\.2, got 3\.\.3"),
    "more speakers than mels": (given(MEL, torch.tensor([0, 1])), "wanted as many rows"),
    "frames alone": (MEL, "wanted the features mel, speaker; got mel"),
    "an array of other bands": (torch.zeros(6, 7), r"frames wanted shape \(frames, 5\), mel 5"),
    "nothing": (None, "got none"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_features_are_refused_and_the_next_call_served(exported: Exported, case: str):
    features, why = BAD[case]
    good = exported.synthesize(given(MEL), seed=1)
    with pytest.raises(ValueError, match=why) as error:
        exported.synthesize(features, seed=1)
    assert "\n" not in str(error.value)
    assert torch.equal(exported.synthesize(given(MEL), seed=1), good)


def test_a_bad_push_leaves_the_stream_as_it_was(exported: Exported):
    whole = exported.synthesize(features_of_six(), seed=1)[0]
    stream = exported.stream(seed=1, features={"speaker": 2})
    mel = features_of_six()["mel"]
    parts = [stream.push(mel[:3])]
    for bad in (mel[:, :4], mel.long(), mel / 0, mel[:0], mel[None].expand(2, -1, -1)):
        with pytest.raises(ValueError, match="wanted"):
            stream.push(bad)
    with pytest.raises(ValueError, match="wanted the features mel; got mel, speaker"):
        stream.push({"mel": mel, "speaker": 2})
    parts += [stream.push({"mel": mel[3:]}), stream.finish()]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        lambda mel: mel.double(),
        lambda mel: mel.clone().requires_grad_(),
        lambda mel: mel.numpy().astype(">f4"),
        lambda mel: mel.numpy().astype(np.float64)[::-1].copy()[::-1],
        lambda mel: mel.tolist(),
    ],
    ids=["double", "with a gradient", "big-endian", "reversed double", "lists"],
)
def test_floats_of_any_kind_give_the_same_sound(exported: Exported, other):
    mel = features_of_mel(6)
    wanted = exported.synthesize(given(mel), seed=1)
    assert torch.equal(exported.synthesize(given(other(mel)), seed=1), wanted)
    stream = exported.stream(seed=1, features={"speaker": np.int32(1)})
    pieces = [stream.push(other(mel)), stream.finish()]
    torch.testing.assert_close(torch.cat(pieces), wanted[0], rtol=0, atol=1e-5)


def features_of_six():
    return {"mel": features_of_mel(6), "speaker": 2}


def features_of_mel(frames: int) -> torch.Tensor:
    return torch.randn(frames, 5, generator=torch.Generator().manual_seed(3))


def test_a_stream_says_what_it_misses(exported: Exported):
    with pytest.raises(ValueError, match="wanted the features speaker; got none"):
        exported.stream()
    with pytest.raises(ValueError, match="of one signal, got 2 rows"):
        exported.stream(features={"speaker": torch.tensor([0, 1])})
    stream = exported.stream(features={"speaker": 0})
    with pytest.raises(ValueError, match="ends before its first frame"):
        stream.finish()
    stream.push(MEL)
    stream.finish()
    for late in (stream.finish, lambda: stream.push(MEL)):
        with pytest.raises(ValueError, match="is finished"):
            late()


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf")])
def test_a_temperature_out_of_range_is_refused(exported: Exported, temperature: float):
    with pytest.raises(ValueError, match="temperature: wanted a number of 0 or more"):
        exported.synthesize(given(MEL), temperature=temperature)


def test_a_length_beside_frames_is_refused(exported: Exported):
    with pytest.raises(ValueError, match="frames=7: the features at frame rate say how long"):
        exported.synthesize(given(MEL), frames=7)


def test_features_of_another_rate_than_the_noise_are_refused(exported: Exported):
    speaker = torch.tensor([0])
    with pytest.raises(ValueError, match=r"'mel' wanted shape \(1, 3, 5\).*got \(1, 6, 5\)"):
        exported(torch.zeros(1, 3 * HOP), {"mel": MEL[None], "speaker": speaker})
    with pytest.raises(ValueError, match=f"positive multiple of {HOP}"):
        exported(torch.zeros(1, HOP + 1), {"mel": MEL[None], "speaker": speaker})


def test_a_state_of_another_batch_is_refused(exported: Exported):
    features = {"mel": MEL[None], "speaker": torch.tensor([0])}
    state = exported.start(features)
    noise = torch.zeros(2, 6 * HOP)
    two = {"mel": MEL[None].repeat(2, 1, 1), "speaker": torch.tensor([0, 1])}
    with pytest.raises(ValueError, match=r"state\.frames wanted shape \(2, "):
        exported.run(state, noise, two)
    with pytest.raises(ValueError, match="wanted a state of"):
        exported.run(state[1:], noise[:1], features)


def test_a_state_begins_with_the_frames_of_look_ahead(exported: Exported):
    mel, speaker = features_of_mel(6)[None], torch.tensor([0])
    state = exported.start({"mel": mel, "speaker": speaker})
    by_name = dict(zip([s.name for s in exported.metadata.state], state, strict=True))
    assert exported.metadata.latency == 1
    assert torch.equal(by_name["state.frames"], mel[:, :1])
    assert not any(v.any() for name, v in by_name.items() if name != "state.frames")


def test_the_graph_hands_on_that_it_has_begun(exported: Exported):
    batch = {"mel": features_of_mel(6)[None], "speaker": torch.tensor([0])}
    first = exported.start(batch)
    _, _, after = exported.run(first, exported.noise(1, sites=6 * HOP), batch)
    assert torch.equal(after[0], first[0])
    assert after[1].tolist() == [[1.0]]
    assert (first[1] == 0).all()


def test_values_of_fixed_sites_do_not_stream(tmp_path):
    from distill.contract import DataSpec
    from distill.export import ONNX
    from distill.models import iaf

    ONNX().write(iaf(DataSpec(sites=2), 1, [4]), tmp_path / "toy.onnx")
    toy = load(tmp_path / "toy.onnx")
    with pytest.raises(ValueError, match="2 sites, so there is nothing to stream"):
        toy.stream()
    assert toy.synthesize(seed=1).shape == (1, 2)
    assert torch.equal(toy.synthesize(seed=1), toy.synthesize(seed=1))
