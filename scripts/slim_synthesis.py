"""Features to sound with NumPy and ONNX Runtime alone: student.onnx mel.npy out.wav seed.

mel.npy is (frames, bands); F0 and the like lie beside the bands, or are left out where optional.
"""

# ruff: noqa: E401, I001
import json, sys, wave
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
about = json.loads(session.get_modelmeta().custom_metadata_map["distill"])
spec, ahead, order = about["spec"], about["latency"], about["filter_order"]
ends = np.cumsum([feature["size"] for feature in spec["features"].values()])
mel = np.load(sys.argv[2]).astype(about["dtype"])
mel = np.pad(mel, ((0, ahead), (0, ends[-1] - mel.shape[1])), constant_values=np.nan)[None]
mel[:, mel.shape[1] - ahead :] = mel[:, [-1 - ahead]]
random = np.random.Generator(np.random.Philox(int(sys.argv[4])))
draw = random.logistic if about["base"] == "logistic" else random.standard_normal
feeds = {s["name"]: np.zeros((1, *s["shape"]), s["dtype"]) for s in about["state"]}
feeds["noise"] = draw(size=(1, (mel.shape[1] - ahead) * spec["hop"])).astype(about["dtype"])
feeds["state.frames"], mel = mel[:, : max(1, ahead)], mel[:, ahead:]
feeds |= zip(spec["features"], np.split(mel, ends[:-1], 2), strict=True)
x, *_, (r,) = session.run(None, {node.name: feeds[node.name] for node in session.get_inputs()})
if order:
    a = np.linalg.solve(r[:, abs(np.subtract.outer(*[range(order)] * 2))], r[:, 1:, None])[..., 0]
    gain, y = np.sqrt(r[:, 0] - (a * r[:, 1:]).sum(1)), np.zeros(order + x.size)
    for t, e in enumerate(x[0]):
        y[t + order] = gain[t // spec["hop"]] * e + a[t // spec["hop"]] @ y[t : t + order][::-1]
    x = y[None, order:]
with wave.open(sys.argv[3], "wb") as file:
    file.setparams((1, 2, spec["sample_rate"], 0, "NONE", "NONE"))
    file.writeframes((x[0].clip(-1, 1) * 32767).round().astype("<i2").tobytes())
