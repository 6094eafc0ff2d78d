#!/usr/bin/env bash
# Build the docs as a site, into site/ or the folder that is given; needs no network.
# `scripts/docs.sh --serve` shows them at http://127.0.0.1:8000 and follows changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mkdocs="${MKDOCS:-.venv/bin/mkdocs}"
if ! command -v "$mkdocs" >/dev/null; then
    echo "docs: MkDocs is missing; install it: .venv/bin/python -m pip install '.[docs]'" >&2
    exit 2
fi

# MkDocs wants its configuration beside the folder of the pages, not in it.
beside="$(mktemp -d)"
trap 'rm -rf "$beside"' EXIT
ln -s "$PWD/docs" "$beside/docs"
cp docs/mkdocs.yml "$beside/mkdocs.yml"
export NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true

if [[ ${1:-} == --serve ]]; then
    "$mkdocs" serve --config-file "$beside/mkdocs.yml"
    exit
fi
site="$(realpath -m "${1:-site}")"
"$mkdocs" build --quiet --strict --clean --config-file "$beside/mkdocs.yml" --site-dir "$site"

# A page must load nothing from elsewhere; links that a reader clicks are fine.
outside="$(grep -rhoE --include='*.html' \
    '<(script|img|iframe|link[^>]*rel="?(stylesheet|icon|preconnect|preload))[^>]*(src|href)="?(https?:)?//[^" >]+' \
    "$site" | sort -u || true)"
outside+="$(grep -rhoE --include='*.css' '(url\(|@import )["'\'']?(https?:)?//[^)"'\'' ]+' "$site" || true)"
if [[ -n $outside ]]; then
    printf 'docs: pages load from elsewhere:\n%s\n' "$outside" >&2
    exit 1
fi
echo "built $site: open $site/index.html"
