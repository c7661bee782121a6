#!/usr/bin/env bash
# Makes or reuses .venv, installs the test extra, and runs the tests.
#
#   scripts/test.sh                      the default suite
#   scripts/test.sh -m slow              the slow tests
#   scripts/test.sh tests/bijectors -x   any pytest arguments
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

ensure_environment test
cd "$ROOT"
export MPLBACKEND="${MPLBACKEND:-Agg}"
exec "$PYTHON" -m pytest "$@"
