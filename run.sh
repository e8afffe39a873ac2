#!/usr/bin/env bash
# Set up .venv once, then run:  ./run.sh [test | setup [dev] | what python -m pipeline takes]
# PIPELINE_PYTHON=python3 ./run.sh uses an environment that has the packages already, and installs nothing.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
venv="$root/.venv"
# One line in .venv says what is in it: "unfinished", or the digest of the requirements and perhaps "dev".
stamp="$venv/.requirements"
export NO_ALBUMENTATIONS_UPDATE=1

find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "error: no Python 3.11 or newer with venv was found; on Debian or Ubuntu:" \
    "apt install python3 python3-venv (or install uv)." >&2
  exit 4
}

make_environment() { # $1: "" or "dev"
  local wanted have base install
  wanted="$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum) $root"
  have="$(cat "$stamp" 2>/dev/null || true)"
  if [[ "$have" == "$wanted dev" || "$have" == "$wanted $1" ]]; then return; fi
  echo "installing PyTorch and friends into .venv: some minutes, about 6 GB the first time"
  [[ "$have" != unfinished ]] || rm -rf "$venv"
  mkdir -p "$venv"
  echo unfinished >"$stamp"
  if [[ "$have" == *" dev" ]]; then set -- dev; fi
  if command -v uv >/dev/null; then
    [[ -x "$venv/bin/python" ]] || uv venv -q --allow-existing --python '>=3.11' "$venv"
    install=(uv pip install -q --python "$venv/bin/python")
  else
    base="$(find_python)"
    [[ -x "$venv/bin/pip" ]] || "$base" -m venv "$venv"
    install=("$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input)
  fi
  if ! "${install[@]}" -c "$root/constraints.txt" -e "$root" ${1:+-r <(dev_requirements)}; then
    # Nothing was changed yet when an installer gives up: what worked before stays.
    if [[ -n "$have" ]]; then echo "$have" >"$stamp"; fi
    echo "error: the installation failed (see above): is there a network? Then run the same again." >&2
    exit 4
  fi
  echo "$wanted $1" >"$stamp"
}

dev_requirements() { # not by --group, which the pip of Python 3.11 doesn't know
  "$venv/bin/python" -c 'import sys, tomllib
print(*tomllib.load(open(sys.argv[1], "rb"))["dependency-groups"]["dev"], sep="\n")' "$root/pyproject.toml"
}

check_environment() {
  "$python" -c 'import importlib.util, sys
wanted = """torch torchvision timm albumentations cv2 PIL numpy pandas pyarrow scipy sklearn safetensors
            pydantic rich jinja2 plotly six""".split()
missing = " ".join(name for name in wanted if importlib.util.find_spec(name) is None)
if sys.version_info < (3, 11) or missing:
    version = sys.version.split()[0]
    sys.exit(f"error: PIPELINE_PYTHON ({version}; 3.11 or newer is needed) lacks: {missing}. "
             "Install that, or leave PIPELINE_PYTHON out.")'
}

python="${PIPELINE_PYTHON:-$venv/bin/python}"
if [[ -n "${PIPELINE_PYTHON:-}" ]]; then
  export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
  check_environment || exit 4
else
  case "${1:-}" in
    test) make_environment dev ;;
    setup) make_environment "${2:+dev}" ;;
    *) make_environment "" ;;
  esac
fi
case "${1:-}" in
  setup) ;;
  test) cd "$root" && exec "$python" -P -m pytest -n 2 --dist loadfile -m "not slow" "${@:2}" ;;
  *) exec "$python" -P -m pipeline "$@" ;; # -P: a folder called pipeline in the current one isn't ours
esac
