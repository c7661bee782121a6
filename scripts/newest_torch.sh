#!/usr/bin/env bash
# Runs the tests in a fresh environment with the newest torch, and without torchaudio.
#
#   scripts/newest_torch.sh                          the default suite
#   scripts/newest_torch.sh tests/networks -x        any pytest arguments
#   TORCH=2.13.0 scripts/newest_torch.sh             with this torch in place of the newest
#   INTO=/somewhere scripts/newest_torch.sh          the environment there in place of build/newest_torch
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

into="${INTO:-$ROOT/build/newest_torch}"
python="$into/bin/python"
[[ ! -e "$into" || -f "$into/pyvenv.cfg" ]] || fail "$into is there, and is no environment."
base="$(find_python)" || fail "no Python 3.11 or newer with the venv module was found on PATH."
say "making $into"
"$base" -m venv --clear "$into"
"$python" -m pip install --quiet "torch${TORCH:+==$TORCH}"
"$python" -m pip install --quiet --editable "$ROOT[test]"
"$python" - <<'PY'
from importlib.util import find_spec
import torch

assert find_spec("torchaudio") is None, "torchaudio is there: something that was installed wants it"
print(f"== torch {torch.__version__}, no torchaudio", flush=True)
PY
cd "$ROOT"
export MPLBACKEND="${MPLBACKEND:-Agg}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$python" -m pytest -n auto --dist loadfile "$@"
