"""What a release sets: one version everywhere, a dated changelog; and the files people look for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from selfinstruct import __version__

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from set_version import PLACES, dated, set_version  # noqa: E402

CHANGES = "# Changelog\n\n## Unreleased\n\n- One thing.\n\n## 0.1.0 (2026-01-01)\n\n- First.\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in (*PLACES, "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_place_names_the_version_of_the_package() -> None:
    for name, pattern in PLACES.items():
        found = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"))
        assert found is not None
        assert __version__ in found[0], name


def test_a_release_sets_the_version_everywhere(checkout: Path) -> None:
    set_version(checkout, "7.8.9", "2030-02-03")
    for name in PLACES:
        text = (checkout / name).read_text(encoding="utf-8")
        assert "7.8.9" in text
        assert __version__ not in re.search(PLACES[name], text)[0]  # type: ignore[index]
    changelog = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## Unreleased\n\n## 7.8.9 (2030-02-03)\n" in changelog


def test_the_changelog_keeps_all_changes() -> None:
    after = dated(CHANGES, "0.2.0", "2026-12-01")
    assert after == CHANGES.replace("Unreleased\n", "Unreleased\n\n## 0.2.0 (2026-12-01)\n")
    with pytest.raises(ValueError, match="no changes under"):
        dated(after, "0.3.0", "2026-12-02")
    with pytest.raises(ValueError, match=r"has version 0\.1\.0 already"):
        dated(CHANGES, "0.1.0", "2026-12-02")


def test_a_wrong_version_changes_nothing(checkout: Path) -> None:
    before = (checkout / "pyproject.toml").read_bytes()
    with pytest.raises(ValueError, match="is no version"):
        set_version(checkout, "next", "2030-02-03")
    (checkout / "docs" / "install.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"install\.md: names the version 0 times"):
        set_version(checkout, "7.8.9", "2030-02-03")
    assert (checkout / "pyproject.toml").read_bytes() == before


def test_the_script_says_how_it_is_used() -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / "release.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "give a version" in done.stderr


def test_the_citation_is_complete() -> None:
    cited = yaml.safe_load((ROOT / ".github" / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(cited)
    assert cited["license"] == "Apache-2.0"
    assert cited["references"][0]["url"].endswith("2212.10560")


def test_issue_forms_can_be_read() -> None:
    for form in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        content = yaml.safe_load(form.read_text(encoding="utf-8"))
        if form.stem == "config":
            continue
        assert {"name", "description", "body"} <= set(content)
        ids = [part["id"] for part in content["body"] if part["type"] != "markdown"]
        assert len(ids) == len(set(ids)) > 1
