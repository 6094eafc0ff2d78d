"""The docs as a site, without MkDocs: links and anchors lead somewhere, and every page is found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [ROOT / "README.md", *sorted((ROOT / ".github").rglob("*.md")), *PAGES]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def nav_pages(entries: Any) -> Iterator[str]:
    """The files that the site's navigation names."""
    for entry in entries:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from nav_pages(target)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as MkDocs makes them; GitHub's are the same for ours."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        kept = re.sub(r"[^\w\s-]", "", ascii_only).strip().lower()
        found.add(re.sub(r"[-\s]+", "-", kept))
    return found


def links(page: Path) -> list[str]:
    """The targets in a page that are no addresses of other sites."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    return [one for one in LINK.findall(text) if not re.match(r"\w+:", one)]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_pages_link_to_pages_of_the_site(page: Path) -> None:
    """MkDocs copies `docs` alone: a link out of it is dead on the site."""
    for link in links(page):
        path = link.partition("#")[0]
        assert (page.parent / path).resolve().is_relative_to(DOCS), f"{page.name}: {link}"


def test_every_page_is_in_the_navigation_once() -> None:
    config = yaml.safe_load((DOCS / "mkdocs.yml").read_text(encoding="utf-8"))
    named = list(nav_pages(config["nav"]))
    assert sorted(named) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


def test_the_site_loads_nothing_from_elsewhere() -> None:
    """No fonts and no scripts of other sites; diagrams would load Mermaid from one."""
    config = yaml.safe_load((DOCS / "mkdocs.yml").read_text(encoding="utf-8"))
    assert config["theme"]["font"] is False
    assert config["strict"] is True
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert "```mermaid" not in text, page
        assert not re.search(r"!\[[^\]]*\]\(https?:|<(?:script|img)[^>]*https?:", text), page
    assert "http" not in (DOCS / "site.css").read_text(encoding="utf-8")


MKDOCS = os.environ.get("MKDOCS") or shutil.which("mkdocs", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(MKDOCS is None, reason="MkDocs is not installed (the extra `docs`)")
def test_the_site_is_built(tmp_path: Path) -> None:
    """Strictly: a warning of MkDocs is an error, and so is a page that loads from elsewhere."""
    done = subprocess.run(
        [str(ROOT / "scripts" / "docs.sh"), str(tmp_path / "site")],
        env={**os.environ, "MKDOCS": str(MKDOCS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in PAGES:
        assert (tmp_path / "site" / page.relative_to(DOCS).with_suffix(".html")).is_file()
