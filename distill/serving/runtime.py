"""ONNX Runtime for browsers, as its package on the npm registry has it."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
"""SHA-512 of the package, in base64: what is fetched is what was tested."""

# Hosts that do not know .mjs would not serve it as a script.
FILES = {
    "package/dist/ort.wasm.bundle.min.mjs": "ort.js",
    "package/dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
_SECONDS = 900


def check_npm() -> str:
    """Return the path of npm.

    Errors:
        ValueError: There is none, with the way out.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(
            f"page=true wanted npm to fetch {PACKAGE} {VERSION}, found none on PATH. Install "
            "Node.js, which brings npm, or leave out page=true: `distill serve` has a page that "
            "needs neither."
        )
    return npm


def fetch_runtime(folder: Path) -> None:
    """Write the runtime's script and its WebAssembly into a folder.

    Errors:
        ValueError: npm is missing or can't fetch the package, or it is another than was tested.
    """
    npm = check_npm()
    with tempfile.TemporaryDirectory() as place:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--prefer-offline"]
        try:
            done = subprocess.run(
                [*command, "--pack-destination", place],
                cwd=place,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
            said = [line for line in done.stderr.splitlines() if line.startswith("npm err")]
        except subprocess.TimeoutExpired:
            said = [f"no answer in {_SECONDS} s"]
        packed = sorted(Path(place).glob("*.tgz"))
        if len(packed) != 1:
            why = " ".join(" ".join(said[:2]).split())[:200] or "it wrote no package"
            raise ValueError(
                f"page=true: npm could not fetch {PACKAGE} {VERSION} ({why}). Is its registry "
                "within reach? `npm view onnxruntime-web version` tells."
            )
        digest = hashlib.sha512(packed[0].read_bytes()).digest()
        if base64.b64encode(digest).decode() != INTEGRITY:
            raise ValueError(
                f"page=true: the {PACKAGE} {VERSION} that npm fetched is not the one that was "
                "tested: its SHA-512 differs. Run `npm cache clean --force` and try again."
            )
        with tarfile.open(packed[0], encoding="utf-8") as archive:
            for member, name in FILES.items():
                source = archive.extractfile(member)
                assert source is not None
                (folder / name).write_bytes(source.read())
