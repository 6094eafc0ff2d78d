"""Pages and REST of self-chats: listed, shown with every turn's verdict, dropped and undone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from selfinstruct.store import Run, open_run
from selfinstruct.store.chats import read_chat_commits

GOLDEN = Path(__file__).parents[1] / "golden/runs/conversed"
ORIGIN = {"origin": "http://127.0.0.1:8700"}
OK = "accepted"
CHATS = "/runs/talks/conversations"


@pytest.fixture
def talks(root: Path) -> Run:
    """A run with accepted and rejected self-chats, and no decisions about them yet."""
    path = Path(shutil.copytree(GOLDEN, root / "talks"))
    (path / "overrides.jsonl").unlink(missing_ok=True)
    return open_run(path)


def test_every_conversation_has_a_page_with_all_its_turns(client: TestClient, talks: Run) -> None:
    commits = list(read_chat_commits(talks))
    outcomes = set()
    for commit in commits:
        for chat in commit.chats:
            turns = commit.turns_of()[chat.id]
            answer = client.get(f"{CHATS}/{chat.id}")
            assert answer.status_code == 200
            assert answer.text.count('class="card instance turn"') == len(turns)
            for turn in turns:
                outcomes.add(turn.reason or turn.verdict)
                card = answer.text.partition(f'id="t{turn.number}"')[2]
                assert f">{turn.reason or turn.verdict}</span>" in card.partition("</p>")[0]
            task = client.get(f"/runs/talks/candidates/{chat.instance_id}").text
            assert f"conversations/{chat.id}" in task
    assert len(outcomes) > 1
    assert client.get(f"{CHATS}/nothing").status_code == 404
    assert client.get(f"/api/v1{CHATS}/nothing").status_code == 404


def test_a_turn_shows_what_was_asked_for_it(client: TestClient, talks: Run) -> None:
    [first, *_] = read_chat_commits(talks)
    turn = next(turn for turn in first.turns if turn.completion_id)
    page = client.get(f"{CHATS}/{turn.id}").text
    assert "What the model was asked" in page
    assert f'id="t{turn.number}" aria-current="true"' in page
    detail = client.get(f"/api/v1{CHATS}/{turn.id}").json()
    assert detail["asked"][0]["prompt"]
    assert detail["asked"][0]["text"][turn.char_start : turn.char_end] == turn.text


def test_conversations_are_listed_filtered_and_paged(client: TestClient, talks: Run) -> None:
    chats = [chat for commit in read_chat_commits(talks) for chat in commit.chats]
    found = client.get(f"/api/v1{CHATS}?limit=2&offset=1").json()
    assert found["total"] == len(chats)
    assert [row["id"] for row in found["rows"]] == [chat.id for chat in chats[1:3]]
    rejected = [chat.id for chat in chats if chat.verdict == "rejected"]
    assert rejected
    page = client.get(f"{CHATS}?verdict=rejected").text
    assert all((f"conversations/{chat.id}" in page) == (chat.id in rejected) for chat in chats)
    assert "limit=2&amp;offset=2" in client.get(f"{CHATS}?limit=2").text
    assert "No conversation matches" in client.get(f"{CHATS}?text=no+such+words").text
    for query in ("verdict=maybe", "reason=x", "nothing=1"):
        bad = client.get(f"{CHATS}?{query}")
        assert bad.status_code == 422
        assert query.split("=")[0] in bad.text


def test_one_is_dropped_and_taken_back(client: TestClient, talks: Run) -> None:
    rows = client.get(f"/api/v1{CHATS}?verdict=accepted").json()["rows"]
    detail = f"/api/v1{CHATS}"
    [id, *_] = [r["id"] for r in rows if client.get(f"{detail}/{r['id']}").json()["outcome"] == OK]
    given = {"by": "ann", "action": "drop", "note": "dull"}
    page = client.post(f"{CHATS}/{id}", data=given, headers=ORIGIN).text
    assert "→ now" in page
    assert "dull" in page
    again = client.post(f"{CHATS}/{id}", data=given, headers=ORIGIN)
    assert again.status_code == 422
    assert "is dropped already" in again.text
    assert client.get(f"{detail}/{id}").json()["outcome"] == "dropped"
    client.post(f"{CHATS}/{id}", data={"by": "ann", "action": "undo"}, headers=ORIGIN)
    assert client.get(f"{detail}/{id}").json()["outcome"] == OK
    turn = client.get(f"{detail}/{id}").json()["turns"][2]["id"]
    refused = client.post(f"{CHATS}/{turn}", data={"by": "a", "action": "edit"}, headers=ORIGIN)
    assert refused.status_code == 422
    assert "can be dropped" in refused.text


def test_a_run_without_conversations_has_no_tab(client: TestClient, run: Run) -> None:
    assert "/conversations" not in client.get("/runs/first").text
    page = client.get("/runs/first/conversations")
    assert page.status_code == 200
    assert "This run has no conversations" in page.text
