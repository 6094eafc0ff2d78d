"""Compaction: the same rounds in fewer files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.audit.queries import summarise
from selfinstruct.audit.repair import repair
from selfinstruct.audit.search import Filter, candidates, search
from selfinstruct.audit.verify import verify_run
from selfinstruct.common.errors import StoreError
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.decisions.decide import drop
from selfinstruct.store import Run, open_run, run_lock
from selfinstruct.store import compact as packing
from selfinstruct.store.layout import COMPACTED, COMPLETIONS, INSTANCES, INSTRUCTIONS
from selfinstruct.store.packs import MANIFEST, packs_of
from selfinstruct.store.rowsums import rows_sha256
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import Thresholds, what_if

Generate = Callable[..., tuple[Run, str]]


def packed(run: Run) -> Run:
    with run_lock(run.path):
        packing.compact(run)
    return open_run(run.path)


def said(run: Run, folder: Path) -> dict[str, Any]:
    """Return all that a run says."""
    rounds = [
        (run.is_import(n), run.info(n), run.completions(n), run.instructions(n), run.instances(n))
        for n in run.rounds()
    ]
    files = {}
    for format in (Format.MESSAGES, Format.PARQUET):
        export(run, format, folder / f"out.{format.suffix}")
        files[format] = (folder / f"out.{format.suffix}").read_bytes()
    rows = [list(candidates(run, Filter(table))) for table in ("instructions", "instances")]
    page = search(run, Filter(round=1), sort="mean_logprob")
    return {
        "rounds": repr(rounds),
        "export": files,
        "rows": repr(rows),
        "page": repr(page),
        "summary": repr(summarise(run)),
        "what-if": repr(what_if(run, Thresholds(rouge=0.5))),
        "replay": replay(run),
    }


@pytest.fixture
def grown(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "grown", stop__target=30, propose__per_round=2)[0]


def loose(run: Run) -> list[str]:
    return sorted(path.name for path in (run.path / "rounds").iterdir())


def test_a_compacted_run_says_the_same(grown: Run, tmp_path: Path) -> None:
    before, rounds = said(grown, tmp_path), len(grown.rounds())
    assert rounds > 4
    run = packed(grown)
    assert loose(run) == []
    assert [(pack.first, pack.last) for pack in packs_of(run.path)] == [(0, rounds - 1)]
    assert run.meta["schema_version"] == 2
    assert said(run, tmp_path) == before
    verified = verify_run(run)
    assert (verified.problems, verified.rounds) == ([], rounds)
    run.verify()


def test_it_grows_as_it_would_have(grown: Run, tmp_path: Path, generate: Generate) -> None:
    shutil.copytree(grown.path, tmp_path / "plain")
    packed(grown)
    ends = []
    for name in ("plain", "grown"):
        out = tmp_path / name
        generate(out, resume=True, stop__target=45, propose__per_round=2)
        run = open_run(out)
        ends.append([(run.completions(n), run.instructions(n)) for n in run.rounds()])
        assert verify_run(run).problems == []
        assert replay(run) == []
    assert repr(ends[0]) == repr(ends[1])
    again = packed(open_run(tmp_path / "grown"))
    assert len(packs_of(again.path)) == 1  # the first was not full: it is part of the next
    assert [path.name for path in (again.path / COMPACTED).iterdir() if path.is_dir()] == [
        packs_of(again.path)[0].folder.name
    ]


def test_packs_that_are_full_stay(
    grown: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = said(grown, tmp_path)
    monkeypatch.setattr(packing, "FULL_ROUNDS", 2)
    monkeypatch.setitem(packing._GROUP, INSTRUCTIONS, 3)
    monkeypatch.setitem(packing._GROUP, COMPLETIONS, 2)
    run = packed(grown)
    packs = [pack.folder for pack in packs_of(run.path)]
    assert len(packs) == len(run.rounds()) // 2
    stamps = [(path / "pack.json").stat().st_mtime_ns for path in packs]
    assert packed(run).rounds() == run.rounds()
    assert [(path / "pack.json").stat().st_mtime_ns for path in packs] == stamps
    assert said(run, tmp_path) == before


def test_by_itself_after_many_rounds(
    tmp_path: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = generate(tmp_path / "plain", stop__target=30, propose__per_round=2)
    monkeypatch.setattr(packing, "FULL_ROUNDS", 3)
    run, _ = generate(tmp_path / "run", stop__target=30, propose__per_round=2)
    assert len(packs_of(run.path)) == len(run.rounds()) // 3
    assert repr([run.completions(n) for n in run.rounds()]) == repr(
        [plain.completions(n) for n in plain.rounds()]
    )
    merged = merge([run, plain], tmp_path / "both")
    assert packs_of(merged.path)
    assert replay(merged) == []
    assert verify_run(merged).problems == []


def test_files_stay_while_somebody_reads_them(grown: Run) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from selfinstruct.store import open_run\n"
        "run = open_run(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(grown.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        names = loose(grown)
        with run_lock(grown.path):
            assert packing.compact(grown).waiting
        assert loose(grown) == names
        assert verify_run(open_run(grown.path)).problems == []
        reader.communicate()
    with run_lock(grown.path):
        assert packing.compact(grown) == packing.Compacted(0, 0, False)
    assert loose(grown) == []


def test_an_older_program_refuses_it(grown: Run) -> None:
    run = packed(grown)
    assert yaml.safe_load((run.path / "run.yaml").read_text())["schema_version"] == 2
    run.with_config({**run.meta["config"], "extra": 1})
    assert yaml.safe_load((run.path / "run.yaml").read_text())["schema_version"] == 2


def flip(path: Path, at: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name", [INSTRUCTIONS, INSTANCES, COMPLETIONS, "rounds.jsonl", "pack.json"]
)
def test_damage_of_a_pack_is_seen_and_repaired(grown: Run, name: str) -> None:
    run = packed(grown)
    flip(packs_of(run.path)[0].folder / name)
    assert verify_run(run).problems
    with pytest.raises(StoreError):
        run.verify()
    done = repair(open_run(run.path))
    assert done.rounds
    mended = open_run(run.path)
    assert verify_run(mended).problems == []
    assert len(mended.rounds()) < len(done.rounds) + len(mended.rounds())
    assert replay(mended) == []


def test_a_repair_that_is_interrupted_goes_on(
    grown: Run, monkeypatch: pytest.MonkeyPatch, generate: Generate
) -> None:
    """It had taken the pack out of the manifest, and moved nothing yet."""
    run = packed(grown)
    folder = packs_of(run.path)[0].folder
    flip(folder / INSTANCES)
    content = {path.name: path.read_bytes() for path in folder.iterdir()}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("selfinstruct.audit.repair._move", stop)
        with pytest.raises(KeyboardInterrupt):
            repair(open_run(run.path))
    assert packs_of(run.path) == []
    left = [one for one in verify_run(open_run(run.path)).problems if one.path == folder]
    assert ["left by a repair that was interrupted" in str(one) for one in left] == [True]
    done = repair(open_run(run.path))
    assert verify_run(open_run(run.path)).problems == []
    assert done.folder is not None
    moved = done.folder / COMPACTED / folder.name
    assert {path.name: path.read_bytes() for path in moved.iterdir()} == content
    generate(run.path, resume=True, stop__target=30, propose__per_round=2)
    assert verify_run(packed(open_run(run.path))).problems == []


def test_rounds_before_a_damage_are_kept(
    grown: Run, monkeypatch: pytest.MonkeyPatch, generate: Generate
) -> None:
    for name in (INSTRUCTIONS, INSTANCES, COMPLETIONS):
        monkeypatch.setitem(packing._GROUP, name, 4)
    before = [repr(grown.instructions(n)) for n in grown.rounds()]
    run = packed(grown)
    flip(packs_of(run.path)[0].folder / INSTRUCTIONS, 0.4)
    repair(open_run(run.path))
    mended = open_run(run.path)
    kept = len(mended.rounds())
    assert 0 < kept < len(before)
    assert [repr(mended.instructions(n)) for n in mended.rounds()] == before[:kept]
    generate(run.path, resume=True, stop__target=30, propose__per_round=2)
    again = open_run(run.path)
    assert [repr(again.instructions(n)) for n in again.rounds()] == before
    assert verify_run(again).problems == []


def test_a_manifest_that_was_changed(grown: Run) -> None:
    run = packed(grown)
    path = run.path / COMPACTED / MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "packs": []}))
    with pytest.raises(StoreError, match="changed since it was written"):
        open_run(run.path).rounds()


@pytest.mark.parametrize("is_older", [False, True])
def test_a_lost_manifest_loses_nothing(
    grown: Run, tmp_path: Path, generate: Generate, is_older: bool
) -> None:
    before = said(grown, tmp_path)
    if is_older:
        (grown.path / ".commits.json").unlink()
    run = packed(grown)
    files = {path: path.read_bytes() for path in (run.path / COMPACTED).rglob("*.*")}
    manifest = run.path / COMPACTED / MANIFEST
    manifest.rename(tmp_path / MANIFEST)
    for attempt in (
        lambda: open_run(run.path).rounds(),
        lambda: packed(open_run(run.path)),
        lambda: generate(run.path, resume=True, stop__target=45, propose__per_round=2),
    ):
        with pytest.raises(StoreError, match=r"manifest\.json: is missing"):
            attempt()
    assert "manifest.json: is missing" in str(verify_run(open_run(run.path)).problems[0])
    (tmp_path / MANIFEST).rename(manifest)
    for path, content in files.items():
        assert path.read_bytes() == content
    assert said(open_run(run.path), tmp_path) == before


def test_a_lost_manifest_of_a_run_without_a_count(grown: Run) -> None:
    """A run that was compacted by an older program has no number of its rounds."""
    run = packed(grown)
    (run.path / ".commits.json").unlink()
    (run.path / COMPACTED / MANIFEST).unlink()
    with pytest.raises(StoreError, match=r"manifest\.json: is missing"):
        open_run(run.path).rounds()
    with pytest.raises(StoreError, match=r"manifest\.json: is missing"):
        packed(run)


@pytest.mark.parametrize("damage", ["lost", "flipped", "empty"])
def test_a_manifest_is_written_anew(
    grown: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    before, rounds = said(grown, tmp_path), grown.rounds()
    monkeypatch.setattr(packing, "FULL_ROUNDS", 3)
    run = packed(grown)
    manifest = run.path / COMPACTED / MANIFEST
    if damage == "lost":
        manifest.unlink()
    elif damage == "flipped":
        flip(manifest)
    else:
        manifest.write_bytes(b"")
    done = repair(open_run(run.path))
    assert (done.rounds, done.moved) == ([], [manifest])
    assert manifest.name in str(done.problems[0])
    mended = open_run(run.path)
    assert mended.rounds() == rounds
    assert said(mended, tmp_path) == before
    assert verify_run(mended).problems == []


def test_a_manifest_and_a_pack_are_damaged(
    grown: Run, monkeypatch: pytest.MonkeyPatch, generate: Generate
) -> None:
    before = [repr(grown.instructions(n)) for n in grown.rounds()]
    monkeypatch.setattr(packing, "FULL_ROUNDS", 3)
    run = packed(grown)
    (run.path / COMPACTED / MANIFEST).unlink()
    flip(packs_of_folder(run.path)[1] / INSTANCES)
    done = repair(open_run(run.path))
    assert done.rounds == list(range(3, len(before)))
    mended = open_run(run.path)
    assert [repr(mended.instructions(n)) for n in mended.rounds()] == before[:3]
    assert verify_run(mended).problems == []
    generate(run.path, resume=True, stop__target=30, propose__per_round=2)
    again = open_run(run.path)
    assert [repr(again.instructions(n)) for n in again.rounds()] == before


def packs_of_folder(run: Path) -> list[Path]:
    return sorted(path for path in (run / COMPACTED).iterdir() if path.is_dir())


def test_what_is_no_pack_stays(grown: Run) -> None:
    run = packed(grown)
    name = packs_of(run.path)[0].folder.name
    others = [run.path / COMPACTED / one for one in ("notes", f"{name} copy", "²")]
    for other in others:
        other.mkdir()
        (other / "letter.txt").write_text("mine\n")
    assert packed(run).rounds() == grown.rounds()
    assert [(other / "letter.txt").read_text() for other in others] == ["mine\n"] * 3
    assert {problem.path for problem in verify_run(run).problems} == set(others)
    repair(open_run(run.path))
    assert verify_run(open_run(run.path)).problems == []


def test_rounds_stay_while_their_pack_is_damaged(grown: Run, tmp_path: Path) -> None:
    shutil.copytree(grown.path / "rounds", tmp_path / "rounds")
    run = packed(grown)
    shutil.copytree(tmp_path / "rounds", run.path / "rounds", dirs_exist_ok=True)
    flip(packs_of(run.path)[0].folder / INSTANCES)
    with pytest.raises(StoreError, match="is not what was committed"), run_lock(run.path):
        packing.compact(open_run(run.path))
    assert loose(run) == sorted(path.name for path in (tmp_path / "rounds").iterdir())


def test_decisions_find_their_candidate(grown: Run) -> None:
    run = packed(grown)
    row = next(row for row in run.instructions(3) if row.verdict == "accepted")
    tasks = summarise(run).tasks
    drop(run, row.id, by="ann")
    assert summarise(run).tasks == tasks - 1


VALUES = st.fixed_dictionaries(
    {
        "text": st.none() | st.text(max_size=5),
        "number": st.none() | st.integers(-9, 9),
        "score": st.none() | st.floats(),
        "flag": st.none() | st.booleans(),
        "names": st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3),
    }
)
SCHEMA = pa.schema(
    [
        *(("text", pa.string()), ("number", pa.int32()), ("score", pa.float64())),
        *(("flag", pa.bool_()), ("names", pa.list_(pa.string()))),
    ]
)


@settings(deadline=None)
@given(rows=st.lists(VALUES, max_size=6), more=st.lists(VALUES, max_size=4), data=st.data())
def test_a_checksum_of_rows_is_of_the_rows_alone(
    rows: list[Any], more: list[Any], data: st.DataObject
) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    inside = pa.Table.from_pylist([*more, *rows, *more], schema=SCHEMA)
    assert rows_sha256(table) == rows_sha256(inside.slice(len(more), len(rows)))
    cut = data.draw(st.integers(0, len(rows)))
    parts = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert rows_sha256(parts) == rows_sha256(table)
    other = data.draw(st.lists(VALUES, max_size=6))
    same = repr(other) == repr(rows)
    equal = rows_sha256(pa.Table.from_pylist(other, schema=SCHEMA)) == rows_sha256(table)
    assert equal or not same
    assert not equal or pa.Table.from_pylist(other, schema=SCHEMA).num_rows == len(rows)
