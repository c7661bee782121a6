#!/usr/bin/env bash
# Makes or reuses .venv, installs the test extra, and runs the tests.
#
#   scripts/test.sh                      the default suite
#   scripts/test.sh -m slow              the slow tests
#   scripts/test.sh tests/bijectors -x   any pytest arguments; -n 0 runs them in one process
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

ensure_environment test
cd "$ROOT"
export MPLBACKEND="${MPLBACKEND:-Agg}"
# Files take turns on the cores, each test on one thread: more would only get in each other's way.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$PYTHON" -m pytest -n auto --dist loadfile "$@"
