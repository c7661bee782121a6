"""Features to sound with NumPy and ONNX Runtime alone.

python slim_synthesis.py student.onnx mel.npy out.wav seed

mel.npy is (frames, bands); further features of the model, such as F0, lie beside the bands. The
samples are those of `distill.export` with the same seed.
"""

# ruff: noqa: E401, I001
import json, sys, wave
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
about = json.loads(session.get_modelmeta().custom_metadata_map["distill"])
spec, before, ahead = about["spec"], about["reach"], about["latency"]
mel = np.load(sys.argv[2]).astype(about["dtype"])[None]
random = np.random.Generator(np.random.Philox(int(sys.argv[4])))
draw = random.logistic if about["base"] == "logistic" else random.standard_normal
feeds = {s["name"]: np.zeros((1, *s["shape"]), s["dtype"]) for s in about["state"]}
feeds["noise"] = draw(size=(1, mel.shape[1] * spec["hop"])).astype(about["dtype"])
mel = np.concatenate([mel[:, :1].repeat(before, 1), mel, mel[:, -1:].repeat(ahead, 1)], 1)
feeds["state.frames"], mel = mel[:, ahead : ahead + before], mel[:, ahead + before :]
ends = np.cumsum([feature["size"] for feature in spec["features"].values()])
feeds |= zip(spec["features"], np.split(mel, ends[:-1], 2), strict=True)
x = session.run(["x"], {node.name: feeds[node.name] for node in session.get_inputs()})[0]
with wave.open(sys.argv[3], "wb") as file:
    file.setparams((1, 2, spec["sample_rate"], 0, "NONE", "NONE"))
    file.writeframes((x[0].clip(-1, 1) * 32767).round().astype("<i2").tobytes())
