#!/usr/bin/env bash
# Make a release: version, changelog, packages; publishes nothing.
#
#   scripts/release.sh 0.2.0        set the version everywhere, date the changelog, build and check
#   scripts/release.sh --build      build and check the packages of the version as it is
#
# Then read the difference, run scripts/test.sh, commit and tag. It needs `build` and `twine`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python="${PYTHON:-.venv/bin/python}"
die() { printf 'release: %s\n' "$*" >&2; exit 2; }

[[ $# == 1 ]] || die "give a version, such as 0.2.0, or --build"
command -v "$python" >/dev/null || die "no $python; run scripts/setup.sh, or set PYTHON"
for module in build twine; do
    "$python" -c "import $module" 2>/dev/null || die "needs $module: $python -m pip install $module"
done

if [[ $1 != --build ]]; then
    [[ -z "$(git status --porcelain)" ]] || die "there are changes that are not committed"
    "$python" scripts/set_version.py "$1"
fi

rm -rf dist
"$python" -m build --outdir dist .
"$python" -m twine check --strict dist/*
ls -l dist
if [[ $1 != --build ]]; then
    printf 'next:\n  git diff\n  scripts/test.sh\n  git commit -am "Version %s" && git tag v%s\n' "$1" "$1"
fi
