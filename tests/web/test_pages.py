"""Pages: each candidate of any kind has one, filters are kept, what is wrong is said on them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from selfinstruct.inputs.task_plan import Mixture
from selfinstruct.store import Run, open_run
from selfinstruct.verdicts.import_request import Import
from selfinstruct.verdicts.importing import import_dataset
from selfinstruct.web.render import clock, coded, percent, pieces, score, short

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture
def varied(root: Path, generate: Generate) -> Run:
    """A run with rejects of many reasons, in instructions and instances."""
    return generate(root / "varied", stop__target=25)[0]


def test_every_candidate_has_a_page(client: TestClient, varied: Run) -> None:
    seen = set()
    for number in varied.rounds():
        for row in [*varied.instructions(number), *varied.instances(number)]:
            kind = (type(row), row.reason)
            if kind in seen:
                continue
            seen.add(kind)
            answer = client.get(f"/runs/varied/candidates/{row.id}")
            assert answer.status_code == 200, row
            assert str(row.reason or row.verdict) in answer.text
    assert len(seen) > 10
    assert client.get("/runs/varied/candidates/nothing").status_code == 404


def test_what_was_cut_off_an_answer_is_shown(client: TestClient, root: Path) -> None:
    golden = Path(__file__).parents[1] / "golden/runs/third"
    run = open_run(Path(shutil.copytree(golden, root / "third")))
    rows = [row for number in run.rounds() for row in run.instances(number)]
    [opened] = [row for row in rows if row.cut]
    page = client.get(f"/runs/third/candidates/{opened.id}").text
    assert '<pre id="cut">Sure, here is what I think:</pre>' in page
    whole = next(row for row in rows if not row.cut)
    assert 'id="cut"' not in client.get(f"/runs/third/candidates/{whole.id}").text


def test_filters_stay_in_the_address(client: TestClient, varied: Run) -> None:
    address = "/runs/varied/candidates?verdict=rejected&sort=rouge_l&limit=5&text="
    text = client.get(address).text
    assert "<option selected>rejected</option>" in text
    assert "verdict=rejected&amp;sort=rouge_l&amp;limit=5&amp;offset=5" in text
    second = client.get(address + "&offset=5").text
    assert "offset=0" in second
    assert "offset=10" in second


@pytest.mark.parametrize("query", ["reason=x", "min_rouge=much", "verdict=maybe", "nothing=1"])
def test_a_bad_filter_is_named(client: TestClient, varied: Run, query: str) -> None:
    answer = client.get(f"/runs/varied/candidates?{query}")
    assert answer.status_code == 422
    assert query.split("=", maxsplit=1)[0] in answer.text


def test_a_run_that_goes_on_elsewhere_is_followed(client: TestClient, varied: Run) -> None:
    assert 'data-events=""' in client.get("/runs/varied").text
    varied.write_status("running", tasks=25, target=40, rounds=3)
    text = client.get("/runs/varied").text
    assert 'data-events="/api/v1/runs/varied/events"' in text
    assert "of 40" in text
    assert "Resume" not in text
    status = json.loads((varied.path / "status.json").read_text())
    (varied.path / "status.json").write_text(json.dumps({**status, "heartbeat": 0.0}))
    cut_off = client.get("/runs/varied").text
    assert "cut off" in cut_off
    assert "Resume" in cut_off


def test_a_run_with_an_odd_name_is_reached(client: TestClient, root: Path, varied: Run) -> None:
    varied.path.rename(root / "my run & more?")
    text = client.get("/").text
    assert 'href="/runs/my%20run%20%26%20more%3F"' in text
    assert client.get("/runs/my%20run%20%26%20more%3F").status_code == 200
    assert client.get("/runs/my%20run%20%26%20more%3F/candidates").status_code == 200


def test_the_form_of_a_new_run_offers_the_languages(client: TestClient) -> None:
    page = client.get("/new").text
    for code in ("", "de", "vi", "zh"):
        assert f'<option value="{code}"' in page
    given = {"name": "first", "model": "bundled", "language": "tlh"}
    refused = client.post("/new", data=given, headers={"origin": "http://127.0.0.1:8700"})
    assert refused.status_code == 422
    assert "there are: de, vi, zh" in refused.text


def test_an_empty_root(client: TestClient) -> None:
    assert "There is no run in" in client.get("/").text
    assert "No job was started" in client.get("/jobs").text


def test_how_numbers_and_texts_are_written() -> None:
    assert [percent(x) for x in (None, 0.0, 0.00001, 0.034, 0.5)] == [
        *("–", "0\u202f%", "< 0.1\u202f%", "3.4\u202f%", "50\u202f%")
    ]
    assert [score(x) for x in (None, float("nan"), 7, -1.234)] == ["–", "–", "7", "−1.23"]
    assert [clock(x) for x in (5, 65, 4000)] == ["5 s", "1 min 5 s", "1 h 6 min"]
    assert short("a\n b  c", 10) == "a b c"
    assert short("abcdef", 4) == "abc…"
    assert list(pieces("abcdef", [(1, 2), (4, 6)])) == [
        *(("a", False), ("b", True), ("cd", False), ("ef", True))
    ]
    assert list(pieces("abc", [(0, 0)])) == [("abc", False)]
    assert coded("<a> `<b>` c") == "&lt;a&gt; <code>&lt;b&gt;</code> c"


def test_an_imported_run_has_its_pages(root: Path, client: TestClient, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"text": "The soup was hot.", "label": 1}\n', encoding="utf-8")
    what = Import(str(data), ["sentiment"], Mixture(per_row=None))
    run = import_dataset(what, root / "imported").run
    for page in ("", "/candidates", "/rate", "/what-if"):
        assert client.get(f"/runs/imported{page}").status_code == 200, page
    row = run.instances(0)[0]
    text = client.get(f"/runs/imported/candidates/{row.id}").text
    assert "What it was imported from" in text
    assert "row-1" in text
    assert "What the model was asked" not in text
    assert client.get(f"/runs/imported/candidates/{row.instruction_id}").status_code == 200
