# Sourced by the other scripts: makes or reuses .venv beside pyproject.toml and installs distill.
#
#   ensure_environment EXTRAS      EXTRAS is "" or a list such as "test" or "test,bench"
#
# Afterwards `$PYTHON` is the interpreter of the environment.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
PYTHON="$VENV/bin/python"

say() { printf '== %s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

usable() {
  command -v "$1" >/dev/null 2>&1 &&
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local name
  for name in python3.13 python3.12 python3.11 python3 python; do
    if usable "$name"; then
      command -v "$name"
      return
    fi
  done
  return 1
}

# What an installation depends on: the declared dependencies, the extras, and where the tree lies.
fingerprint() {
  "$PYTHON" - "$ROOT" "$1" <<'PY'
import hashlib, pathlib, sys
root, extras = sys.argv[1:]
content = (pathlib.Path(root) / "pyproject.toml").read_bytes()
print(hashlib.sha256(content + f"|{root}|{extras}|{sys.version}".encode()).hexdigest())
PY
}

ensure_environment() {
  local extras="$1" base stamp key started
  if [[ -e "$VENV" ]] && ! usable "$PYTHON"; then
    fail "$VENV is there, but holds no working Python 3.11 or newer. Remove it and run this again."
  fi
  if [[ ! -e "$VENV" ]]; then
    base="$(find_python)" || fail "no Python 3.11 or newer with the venv module was found on PATH." \
      "Install one (python3.11 and python3.11-venv, say) and run this again."
    say "making $VENV with $("$base" --version)"
    "$base" -m venv "$VENV"
  fi
  stamp="$VENV/.distill-${extras:-plain}"
  key="$(fingerprint "$extras")"
  if [[ -f "$stamp" && "$(<"$stamp")" == "$key" ]]; then
    return
  fi
  say "installing distill${extras:+[$extras]} and what it needs into $VENV" \
    "(the first time several GB: some minutes)"
  started=$SECONDS
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input \
    --editable "$ROOT${extras:+[$extras]}" ||
    fail "the installation failed. The lines above say why; after that, run this again."
  printf '%s\n' "$key" >"$stamp"
  say "installed in $((SECONDS - started)) s: $("$PYTHON" -c \
    'from importlib.metadata import version as v; print("distill", v("distill"), "torch", v("torch"))')"
}
