"""REST: what a program can ask, and that nothing it sends is answered by a bug."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

from selfinstruct.store import Run
from selfinstruct.web.app import create_app
from tests.web.conftest import OPEN, wait_for
from tests.web.script import REPEATED

V1 = "/api/v1"
HEADERS = {"host": "127.0.0.1"}
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def rejected(run: Run, reason: str) -> str:
    """The id of the first instruction that was rejected for a reason."""
    return next(c.id for n in run.rounds() for c in run.instructions(n) if c.reason == reason)


def test_runs(client: TestClient, run: Run) -> None:
    (line,) = client.get(f"{V1}/runs").json()
    assert (line["name"], line["state"], line["reason"]) == ("first", "stopped", "target")
    found = client.get(f"{V1}/runs/first").json()
    assert found["tasks"] == line["tasks"] == 12
    assert sum(found["instructions"].values()) == line["candidates"]
    charts = client.get(f"{V1}/runs/first/charts").json()
    assert len(charts["yields"]) == line["rounds"]
    assert charts["rouge_l"]["thresholds"] == {"novelty.threshold": 0.7}


def test_a_damaged_run_is_named_and_the_others_are_listed(
    client: TestClient, root: Path, run: Run
) -> None:
    (root / "broken").mkdir()
    (root / "broken" / "run.yaml").write_text("schema_version: 99\nconfig: {}\n")
    lines = {line["name"]: line for line in client.get(f"{V1}/runs").json()}
    assert set(lines) == {"first", "broken"}
    assert "newer than this program knows" in lines["broken"]["damage"]
    assert client.get(f"{V1}/runs/broken").status_code == 409
    assert client.get("/runs/broken").status_code == 409
    assert client.get("/").status_code == 200


def test_candidates_are_filtered_and_paged(client: TestClient, run: Run) -> None:
    address = f"{V1}/runs/first/candidates"
    query: dict[str, str | int] = {"reason": "not_novel", "limit": 2}
    found = client.get(address, params=query).json()
    assert len(found["page"]["rows"]) == 2
    assert found["by_reason"] == {"not_novel": found["page"]["total"]}
    second = client.get(address, params={**query, "offset": 1}).json()
    assert second["page"]["rows"][0] == found["page"]["rows"][1]
    assert client.get(address, params={"reason": "bad"}).status_code == 422
    assert client.get(address, params={"sort": "bad"}).status_code == 422
    assert "unknown" not in client.get(address, params={"resaon": "not_novel"}).json()
    assert client.get(address, params={"resaon": "not_novel"}).status_code == 422


def test_a_candidate_with_its_neighbour(client: TestClient, run: Run) -> None:
    id = rejected(run, "not_novel")
    found = client.get(f"{V1}/runs/first/candidates/{id}").json()
    assert found["row"]["id"] == id
    assert found["neighbour"]["rouge_l"] > 0.7
    assert found["asked"][0]["prompt"]
    assert client.get(f"{V1}/runs/first/candidates/r00000-p999-i00").status_code == 404


def test_a_decision_is_in_the_export_and_can_be_undone(client: TestClient, run: Run) -> None:
    id = rejected(run, "not_novel")
    address = f"{V1}/runs/first/overrides"
    edit = {"id": id, "action": "edit", "by": "anna", "output": "Typed by hand.", "note": "good"}
    made = client.post(address, json=edit)
    assert (made.status_code, made.json()["action"]) == (201, "edit")
    assert [one["note"] for one in client.get(address).json()] == ["good"]
    text = client.get(f"{V1}/runs/first/export", params={"format": "alpaca"}).text
    assert "Typed by hand." in {json.loads(line)["output"] for line in text.splitlines()}
    undo = {"id": id, "action": "undo", "by": "anna"}
    assert client.post(address, json=undo).status_code == 201
    assert "Typed by hand." not in client.get(f"{V1}/runs/first/export").text
    assert client.post(address, json=undo).status_code == 422
    assert client.post(address, json={**undo, "id": "nothing"}).status_code == 422


def test_export_as_a_file(client: TestClient, run: Run) -> None:
    answer = client.get(f"{V1}/runs/first/export", params={"format": "parquet"})
    assert 'filename="first-parquet.parquet"' in answer.headers["content-disposition"]
    assert pq.read_table(io.BytesIO(answer.content)).num_rows >= 12
    refused = client.get(f"{V1}/runs/first/export", params={"answers": "teacher"})
    assert refused.status_code == 422


def test_ratings_and_error_rates(client: TestClient, run: Run) -> None:
    address = f"{V1}/runs/first"
    assert client.get(f"{address}/labels/next", params={"rater": "a"}).status_code == 404
    assert client.get(f"{address}/error-rates").json() is None
    drawn = client.post(f"{address}/sample", json={"per_reason": 3, "seed": 1}).json()
    assert client.get(f"{address}/sample").json() == drawn
    total = sum(len(stratum["drawn"]) for stratum in drawn["strata"])
    for rater in ("anna", "ben"):
        for number in range(total):
            turn = client.get(f"{address}/labels/next", params={"rater": rater}).json()
            assert turn["progress"]["rated"] == number
            assert set(turn["text"]) == {"id", "table", "instruction", "input", "output"}
            given = {"rater": rater, "id": turn["text"]["id"], "rating": "AD"[number % 2]}
            assert client.post(f"{address}/labels", json=given).status_code == 201
        assert client.get(f"{address}/labels/next", params={"rater": rater}).json()["text"] is None
    found = client.get(f"{address}/labels").json()
    assert found["raters"] == ["anna", "ben"]
    assert found["agreement"] is not None
    measured = client.get(f"{address}/error-rates").json()
    assert (measured["rated"], measured["raters"]) == (total, ["anna", "ben"])
    back = client.post(f"{address}/labels", json={"rater": "ben"}).json()
    assert back["rater"] == "ben"
    assert client.post(f"{address}/labels", json={"rater": "ben", "rating": "A"}).status_code == 422


def test_what_if(client: TestClient, run: Run) -> None:
    found = client.get(f"{V1}/runs/first/what-if", params={"rouge": 0.99}).json()
    assert found["found"]["after"].get("pending_instances", 0) >= 0
    assert found["rates"] is None
    same = client.get(f"{V1}/runs/first/what-if").json()["found"]
    assert same["before"] == same["after"]
    assert client.get(f"{V1}/runs/first/what-if", params={"rouge": 2}).status_code == 422
    both = {"quantile": 0.1, "min_logprob": -2}
    assert client.get(f"{V1}/runs/first/what-if", params=both).status_code == 422


def test_a_restored_instruction_is_completed_by_a_job(client: TestClient, run: Run) -> None:
    assert client.post(f"{V1}/runs/first/complete").status_code == 422
    id = next(
        c.id
        for n in run.rounds()
        for c in run.instructions(n)
        if c.reason == "not_novel" and c.text == REPEATED
    )
    decision = {"id": id, "action": "restore", "by": "anna"}
    assert client.post(f"{V1}/runs/first/overrides", json=decision).status_code == 201
    detail = client.get(f"{V1}/runs/first/candidates/{id}").json()
    assert detail["outcome"] == "pending_instances"
    job = client.post(f"{V1}/runs/first/complete").json()
    wait_for(lambda: client.get(f"{V1}/jobs/{job['id']}").json()["state"] == "done")
    assert client.get(f"{V1}/runs/first/candidates/{id}").json()["outcome"] == "accepted"
    assert client.get(f"{V1}/jobs").json()[0]["id"] == job["id"]
    assert "tasks now" in client.get(f"{V1}/jobs/{job['id']}/log").text


def test_events_end_when_nothing_goes_on(client: TestClient, run: Run) -> None:
    text = client.get(f"{V1}/runs/first/events").text
    first = json.loads(text.split("data: ", 1)[1].split("\n", 1)[0])
    assert (first["state"], first["tasks"], first["job"]) == ("stopped", 12, None)
    assert text.endswith("event: end\ndata: {}\n\n")
    assert client.get(f"{V1}/runs/none/events").status_code == 404
    assert client.get(f"{V1}/jobs/20260102-030405-abcdef/events").status_code == 404


def test_what_has_no_utf_8_is_refused(client: TestClient, run: Run) -> None:
    for body in (b'{"name": "\\ud800"}', b'{"\\ud800": 1}', b"\xff", b'{"name": NaN}'):
        answer = client.post(
            f"{V1}/runs", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code in {400, 422}
        assert answer.json()["detail"]


def test_the_page_of_the_api_names_every_operation(client: TestClient) -> None:
    text = client.get(f"{V1}/docs").text
    for path, methods in client.get(f"{V1}/openapi.json").json()["paths"].items():
        for method in methods:
            assert f"<strong>{method.upper()}</strong> {path}" in text


def takes_values(operation: schemathesis.APIOperation) -> bool:
    """Whether there is anything to send that does not fit: of names in the path all do."""
    return bool(len(operation.query) or len(operation.body))


def test_nothing_that_is_sent_is_answered_by_a_bug(root: Path, run: Run) -> None:
    """Of every operation of the OpenAPI description, values that fit it and values that do not."""
    app = create_app(root, OPEN, ["true"])  # what is started does nothing
    schema = schemathesis.openapi.from_asgi(f"{V1}/openapi.json", app, headers=HEADERS)
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        seen.add(operation.label)

        fitting, odd = (operation.as_strategy(generation_mode=mode) for mode in MODES)

        @given(case=fitting | odd if takes_values(operation) else fitting)
        @settings(
            max_examples=12,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def check(case: schemathesis.Case) -> None:
            if "name" in case.path_parameters:
                case.path_parameters["name"] = "first"
            case.call_and_validate(headers=HEADERS, checks=[not_a_server_error])

        check()
    assert len(seen) >= 20
