#!/usr/bin/env bash
# Makes or reuses .venv, installs the docs extra, and builds the pages into build/docs.
#
#   scripts/docs.sh                  every warning is a failure
#   scripts/docs.sh runs/tones       the page Listen plays the sounds of that run too
#   scripts/docs.sh [RUN] -E         any options of sphinx-build: -E reads everything anew
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if (($#)) && [[ "$1" != -* ]]; then
  [[ -d "$1" ]] || fail "$1: wanted the folder of a run, found none."
  run="$(cd "$1" && pwd)"
  set -- -D "run=$run" "${@:2}"
fi
ensure_environment docs
cd "$ROOT"
"$PYTHON" -m sphinx --builder html --fail-on-warning --keep-going --quiet "$@" docs build/docs
say "build/docs/index.html"
