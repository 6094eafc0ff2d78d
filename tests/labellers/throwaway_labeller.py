"""Add the labeller of CONTRIBUTING.md, and print as JSON where it shows. Run by test_labellers.py.

A process of its own: the choices of the options are made from the labellers as the program starts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.labellers import registry
from tests.test_contributing import skeleton

registry.LABELLERS.append(skeleton("SHORTEST"))

import pyarrow.parquet as pq  # noqa: E402

from scripts import make_docs  # noqa: E402
from selfinstruct.cli.app import run as cli  # noqa: E402
from selfinstruct.common.records import Request  # noqa: E402
from selfinstruct.engines.scripted import ScriptedEngine  # noqa: E402
from tests.conftest import draw  # noqa: E402
from tests.engines.kinds import stand_in_for_vllm  # noqa: E402

ENGINES: list[ScriptedEngine] = []


def script(request: Request) -> str:
    return f" An answer {'very ' * draw(request, 'length', 5)}{draw(request, 'which', 90)}."


def with_engine(loaded: Any, work: Any, advance: Any, *, kind: Any) -> Any:
    ENGINES.append(ScriptedEngine(script))
    return work(ENGINES[-1], advance=advance)


def words(text: str) -> int:
    return len(text.split())


def main() -> None:
    folder, run, model = map(Path, sys.argv[1:])
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("selfinstruct.engines.isolated.with_engine", with_engine)
    stand_in_for_vllm(monkeypatch)
    asking = [str(run), "--policy", str(model), "--k", "3"]
    prefer = ["prefer", *asking, "--held-out", "2", "--out", str(folder / "preferences")]
    best = ["best-of", *asking, "--out", str(folder / "best")]
    measured = ["best-of", *asking, "--out", str(folder / "measured")]
    codes = [
        cli([*prefer, "--labeller", "shortest"]),
        cli([*best, "--scorer", "shortest"]),
        cli([*measured, "--measure", "shortest"]),
        cli([*prefer, "--labeller", "shortest", "--judge", "bundled"]),
        cli([*prefer, "--labeller", "dice"]),
    ]
    pairs = pq.read_table(folder / "preferences" / "train.parquet").to_pylist()
    answers = pq.read_table(folder / "best" / "answers").to_pylist()
    shortest: dict[str, int] = {}
    for row in answers:
        count = words(row["text"])
        shortest[row["prompt_id"]] = min(count, shortest.get(row["prompt_id"], count))
    lines = (folder / "best" / "best.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = [json.loads(line) for line in lines]
    asked = json.loads((folder / "preferences" / "preferences.json").read_text())
    result = {
        "codes": codes,
        "docs": "| `shortest` | the fewest words | nothing |" in make_docs.labeller_table(),
        "asked": {key: asked[key] for key in ("labeller", "labelled_by", "judge_template")},
        "pairs": len(pairs),
        "margins": all(
            row["margin"]
            == words(row["rejected"][0]["content"]) - words(row["chosen"][0]["content"])
            > 0
            for row in pairs
        ),
        "labellers": sorted({row["labeller"] for row in pairs}),
        "chosen": sorted(words(row["completion"]) for row in chosen) == sorted(shortest.values()),
        "reports": [
            [report["scorer"], report["measure"], report["measured"] == report["prompts"]]
            for report in (
                json.loads((folder / name / "report.json").read_text())
                for name in ("best", "measured")
            )
        ],
        # Where nobody wants the policy's own scores, it gives none.
        "scored": [any(r.scored is not None for r in one.requests) for one in ENGINES],
    }
    cli(["prefer", "--help"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
