"""Set the version in every file that names it, and date the changelog: `set_version.py 0.2.0`.

`scripts/release.sh` calls it.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The files that name the version, each with what stands around it.
PLACES = {
    "pyproject.toml": r'(?m)^(version = ")[^"]+(")',
    "selfinstruct/__init__.py": r'(?m)^(__version__ = ")[^"]+(")',
    ".github/CITATION.cff": r"(?m)^(version: )\S+()",
    "docs/install.md": r"(selfinstruct-)\d+\.\d+\.\d+(-py3-none-any\.whl)",
}
_UNRELEASED = "## Unreleased\n"
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")


def set_version(root: Path, version: str, day: str) -> None:
    """Write a version into a checkout.

    Args:
        root: the checkout.
        version: such as `0.2.0` or `0.2.0rc1`.
        day: of the release, for the changelog.

    Raises:
        ValueError: no version, nothing unreleased, or a file that does not name the version once.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is no version; give one such as 0.2.0 or 0.2.0rc1")
    texts = {}
    for name, pattern in PLACES.items():
        text = (root / name).read_text(encoding="utf-8")
        new, count = re.subn(pattern, rf"\g<1>{version}\g<2>", text)
        if count != 1:
            raise ValueError(f"{name}: names the version {count} times, not once")
        texts[name] = new
    texts["CHANGELOG.md"] = dated((root / "CHANGELOG.md").read_text(encoding="utf-8"), version, day)
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8")


def dated(changelog: str, version: str, day: str) -> str:
    """Return a changelog whose unreleased changes are those of a version.

    Raises:
        ValueError: nothing is unreleased, or the version is there already.
    """
    before, heading, after = changelog.partition(_UNRELEASED)
    if not heading or not re.split(r"(?m)^## ", after)[0].strip():
        raise ValueError("CHANGELOG.md: has no changes under `## Unreleased`")
    if re.search(rf"(?m)^## {re.escape(version)}\b", changelog):
        raise ValueError(f"CHANGELOG.md: has version {version} already")
    return f"{before}{_UNRELEASED}\n## {version} ({day})\n{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="such as 0.2.0")
    try:
        set_version(ROOT, parser.parse_args().version, time.strftime("%Y-%m-%d"))
    except ValueError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
