#!/usr/bin/env bash
# Makes or reuses .venv, installs the docs extra, and builds the pages into build/docs.
#
#   scripts/docs.sh         every warning is a failure
#   scripts/docs.sh -E      any options of sphinx-build: -E reads everything anew
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

ensure_environment docs
cd "$ROOT"
"$PYTHON" -m sphinx --builder html --fail-on-warning --keep-going --quiet "$@" docs build/docs
say "build/docs/index.html"
