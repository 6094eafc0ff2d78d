#!/usr/bin/env bash
# Look for known weaknesses in the packages of .venv, by pip-audit and the database of PyPI.
#
# pip-audit runs in an environment of its own, which is removed afterwards, so that the project's
# environment stays as it is. Arguments go to pip-audit: `scripts/audit_dependencies.sh -s osv` asks
# the database of osv.dev. PIP_AUDIT=COMMAND uses a pip-audit that is installed.
#
# Exit codes: 0 none is known; 1 some are, and are listed; 3 nothing was checked, since pip-audit
# cannot be installed or cannot reach its database.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
shopt -s nullglob
packages=(.venv/lib/python*/site-packages)
if [[ ${#packages[@]} != 1 ]]; then
    echo "nothing was checked: there is no environment .venv; make it with scripts/setup.sh" >&2
    exit 3
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

audit="${PIP_AUDIT:-}"
if [[ -z $audit ]]; then
    .venv/bin/python -m venv "$work/env"
    if ! "$work/env/bin/python" -m pip install --quiet pip-audit >"$work/log" 2>&1; then
        tail -n 3 "$work/log" >&2
        echo "nothing was checked: pip-audit cannot be installed; check the network" >&2
        exit 3
    fi
    audit="$work/env/bin/pip-audit"
fi

code=0
"$audit" --path "${packages[0]}" --progress-spinner off --format json --output "$work/found.json" \
    "$@" 2>"$work/log" || code=$?
# It ends with 1 for a weakness and for an error; after an error there is no report.
if [[ ! -s $work/found.json ]]; then
    tail -n 3 "$work/log" >&2
    echo "nothing was checked: pip-audit cannot reach its database; check the network" >&2
    exit 3
fi
.venv/bin/python - "$work/found.json" <<'PYTHON'
import json
import sys

packages = json.load(open(sys.argv[1], encoding="utf-8"))["dependencies"]
weak = [package for package in packages if package.get("vulns")]
for package in weak:
    for found in package["vulns"]:
        fixed = ", ".join(found["fix_versions"]) or "none yet"
        print(f"{package['name']} {package['version']}: {found['id']}; fixed in: {fixed}")
skipped = [package["name"] for package in packages if "skip_reason" in package]
if skipped:
    print(f"not checked, since PyPI has no such release: {', '.join(skipped)}")
print(f"{len(packages) - len(skipped)} packages checked, {len(weak)} with a known weakness")
sys.exit(1 if weak else 0)
PYTHON
