#!/usr/bin/env bash
# Set up if need be, check the code, run every test. Arguments go to pytest:
# `scripts/test.sh -m "not slow"` leaves out those that load a model.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
scripts/check.sh
export PATH="$PWD/.venv/bin:$PATH" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1
exec .venv/bin/python -m pytest "$@"
