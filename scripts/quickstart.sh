#!/usr/bin/env bash
# From a fresh clone to a distilled, exported and measured student of the two moons.
#
#   scripts/quickstart.sh                      runs/moons
#   scripts/quickstart.sh run=elsewhere seed=1   any overrides of `distill pipeline`
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

ensure_environment ""
cd "$ROOT"

run=runs/moons
overrides=()
for argument in "$@"; do
  case "$argument" in
    run=*) run="${argument#run=}" ;;
    *) overrides+=("$argument") ;;
  esac
done
if [[ -e "$run" ]]; then
  say "$run exists: continuing it (remove the folder to start again)"
  overrides+=("resume=true")
fi

started=$SECONDS
say "teacher, student, evaluation, export and benchmark into $run"
"$PYTHON" -m distill pipeline experiment=moons "run=$run" ${overrides[@]+"${overrides[@]}"}
say "done in $((SECONDS - started)) s"

"$PYTHON" - "$run" <<'PY'
import json, pathlib, sys

run = pathlib.Path(sys.argv[1])
for path in sorted(run.glob("*/metrics.json")):
    print(f"\n{path}")
    for name, value in json.loads(path.read_text()).items():
        print(f"  {name:<44} {value:.5g}" if isinstance(value, float) else f"  {name:<44} {value}")
pictures = sorted(run.rglob("*.png"))
print(f"\n{len(pictures)} pictures" + (":" if pictures else ""))
for path in pictures:
    print(f"  {path}")
PY
printf '\nTensorBoard:\n  %s --logdir %s\n' "$VENV/bin/tensorboard" "$run"
