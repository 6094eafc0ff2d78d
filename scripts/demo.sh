#!/usr/bin/env bash
# The main job on a real model: set up, generate a small dataset, show what is in it.
# A second run finds everything done and only shows it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
export PATH="$PWD/.venv/bin:$PATH"

run=outputs/demo
selfinstruct generate --out "$run" --target 20 --seed 0 --resume
selfinstruct audit summary "$run"
selfinstruct export "$run" --format alpaca --out "$run/alpaca.jsonl"
echo
echo "The first tasks of $run/alpaca.jsonl:"
head -n 3 "$run/alpaca.jsonl"
