"""The README's recipes, the quick start and the tutorials run, command by command.

A scripted engine stands in for the models, and a model of two layers for what is trained. The
tests in `tests/real` run the quick start with the bundled model.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, StandIns, run_page
from tests.docs.stand_in import add_stand_in
from tests.engines.http_server import serving
from tests.generate.test_served_run import answer
from tests.train.tiny import tiny_model

pytest.importorskip("trl")

PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / name for name in ("quickstart.md", "presets.md")),
    *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
]
# The small model's texts are long in its tokens, which are bytes; its scores are made up.
TRAIN = ["--max-length", "512", "--set", "bf16=false", "--set", "max_steps=2"]
GENERATE = ["--set", "likelihood.quantile=null", "--set", "likelihood.seed_bound=false"]
QUICK = {
    "generate": [*GENERATE, "--set", "propose.per_round=6", "--prompting", "base"],
    "train sft": TRAIN,
    "train dpo": [*TRAIN, "--fresh", "2", "--fresh-tokens", "4"],
    "prefer": ["--answer-tokens", "64"],
}


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIns]:
    add_stand_in(monkeypatch)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "mine.jsonl").write_text(
        '{"instruction": "Say how a bee lives.", "output": "Well."}\n'
    )
    model = tiny_model(tmp_path / "tiny", positions=8192)
    with serving(answer) as server:
        yield StandIns(model.path, server.url, QUICK)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs(page: Path, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.stem == "compare-models":  # it takes the model of another page
        tiny_model(Path("outputs") / "tuned", positions=8192)
    assert len(run_page(page, stand_ins, monkeypatch)) > 2


def test_there_are_tutorials_for_every_job() -> None:
    assert {page.stem for page in PAGES} == {
        "README",
        "quickstart",
        "presets",
        "first-dataset",
        "own-domain",
        "endpoint",
        "audit",
        "sft-and-dpo",
        "compare-models",
    }
