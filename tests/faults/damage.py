"""Damage a finished run in every way, and look whether whoever reads it sees that."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from selfinstruct.common.errors import SelfInstructError
from selfinstruct.dataset.export import refuse_damaged_decisions
from selfinstruct.dataset.read import read_any
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.decisions.labels import read_labels
from selfinstruct.decisions.overrides import read_overrides
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import open_run
from selfinstruct.store.commits import KINDS
from selfinstruct.store.packs import forget_packs
from selfinstruct.store.sealed import forget_known
from selfinstruct.train.data.preference_rows import read_preferences
from tests.faults.whole import PAIRS, RUN

# What never decides what is read: who writes at the moment, and the lock.
ADVISORY = {"status.json", ".selfinstruct.lock"}


@dataclass(frozen=True)
class Damage:
    """One damage of a run: `do` gets a copy of the run, and returns what it did."""

    kind: str
    what: str
    do: Callable[[Path], None]


def everything(path: Path) -> str:
    """Return all that commands read of a run, or of a folder of `whole.py`, as one text.

    Raises:
        SelfInstructError: a damage was found.
    """
    if not (path / PAIRS).is_dir():
        return _of_a_run(path)
    pairs = path / PAIRS
    read = [read_preferences(pairs), list(read_any(pairs, "--data").rows)]
    return (_of_a_run(path / RUN) + repr(read)).replace(str(path), "")


def _of_a_run(path: Path) -> str:
    run = open_run(path)
    read: list[object] = [stored_config(run), sorted(stored_inputs(run).files.items())]
    read += [run.calibration(), _in_order(run.meta)]
    for number in run.rounds():
        data = run.read_round(number)
        read += [data.completions, data.instructions, data.instances, _in_order(data.info)]
    for kind in KINDS:
        for number in kind.numbers(run):
            read += [_in_order(kind.info(run, number)), kind.read_completions(run, number)]
            if kind.has_instructions:
                read.append(kind.read_instructions(run, number))
            if kind.has_chats:
                read += [kind.read_chats(run, number), kind.read_turns(run, number)]
            else:
                read.append(kind.read_instances(run, number))
    refuse_damaged_decisions(run)
    labels = read_labels(run)
    if labels.damaged:
        raise ToldError(str(labels.damaged[0]))
    read += [read_overrides(run).entries, labels.entries]
    read += [asdict(row) for answers in Answers for row in export_rows(run, answers)]
    return repr(read)


def _in_order(values: object) -> str:
    """Return values as text; the order of keys says nothing."""
    return json.dumps(values, sort_keys=True, default=str)


class ToldError(SelfInstructError):
    """A damage that `audit verify` (exit code 4) and every summary tell, and that stops nothing."""

    exit_code = 4


@dataclass(frozen=True)
class Outcome:
    """What became of a damage.

    result: `detected`, `harmless` (the same is read), `silent` (something else is read), or
        `traceback`.
    code: the exit code of a command that detects it.
    """

    damage: Damage
    result: str
    told: str = ""
    code: int = 0


def try_damage(whole: Path, work: Path, damage: Damage, expected: str) -> Outcome:
    """Damage a copy of a run, and read it.

    Args:
        whole: the run.
        work: where the copy is made.
        damage: what to do to it.
        expected: what is read of the whole run.
    """
    path = work / whole.name
    if path.exists():
        shutil.rmtree(path)
    shutil.copytree(whole, path)
    damage.do(path)
    forget_known()
    forget_packs()
    try:
        read = everything(path)
    except SelfInstructError as error:
        return Outcome(damage, "detected", str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001  # what must never come out
        return Outcome(damage, "traceback", f"{type(error).__name__}: {error}")
    return Outcome(damage, "harmless" if read == expected else "silent")


def damages(whole: Path, other: Path, number: int, seed: int = 0) -> Iterator[Damage]:
    """Yield damages of a run, of each kind in turn.

    Args:
        whole: the run.
        other: another run of the same shape, whose files take the place of its own.
        number: how many.
        seed: of the draws.
    """
    rng = random.Random(seed)
    inside = (RUN, PAIRS) if (whole / PAIRS).is_dir() else {one.name for one in whole.iterdir()}
    files = sorted(
        path.relative_to(whole).as_posix()
        for path in whole.rglob("*")
        if path.is_file() and path.name not in ADVISORY and path.parts[len(whole.parts)] in inside
    )
    makers = (_flip, _cut, _empty, _delete, _swap, _foreign, _edit, _lose_line, _drop_folder)
    makers += (_grow, _zero, _turn_lines)
    for n in range(number):
        damage = makers[n % len(makers)](whole, other, files, rng)
        if damage is not None:
            yield damage


def _flip(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    name = rng.choice([one for one in files if (whole / one).stat().st_size])
    at, bit = rng.randrange((whole / name).stat().st_size), rng.randrange(8)

    def do(path: Path) -> None:
        content = bytearray((path / name).read_bytes())
        content[at] ^= 1 << bit
        (path / name).write_bytes(content)

    return Damage("flipped bit", f"{name}, byte {at}, bit {bit}", do)


def _cut(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    name = rng.choice([one for one in files if (whole / one).stat().st_size])
    size = rng.randrange((whole / name).stat().st_size)
    return Damage(
        "cut off",
        f"{name} after {size} bytes",
        lambda path: (path / name).write_bytes((path / name).read_bytes()[:size]) and None,
    )


def _empty(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    name = rng.choice(files)
    content = rng.choice([b"", b"{}", b"[]", b"\x00" * 64, b"[" * 100_000, b'{"a":' * 100_000])
    return Damage(
        "other content",
        f"{name}: {content[:8]!r}",
        lambda path: (path / name).write_bytes(content) and None,
    )


def _grow(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    name = rng.choice(files)
    content = rng.choice([b"\n", b"\x00", b"{}\n", b"PAR1", b"a: 1\n", b'{"id": "x"}\n'])
    return Damage(
        "extra bytes at the end",
        f"{name}: {content!r}",
        lambda path: (path / name).write_bytes((path / name).read_bytes() + content) and None,
    )


def _zero(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    """A block of a disk is lost."""
    name = rng.choice([one for one in files if (whole / one).stat().st_size])
    size = (whole / name).stat().st_size
    start = rng.randrange(size)
    end = min(size, start + rng.choice([1, 16, 512, 4096]))

    def do(path: Path) -> None:
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[:start] + bytes(end - start) + content[end:])

    return Damage("zeros", f"{name}, bytes {start} to {end}", do)


def _turn_lines(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    """Two lines of a text file change places."""
    texts = [one for one in files if one.endswith((".jsonl", ".json", ".yaml", ".jinja"))]
    name = rng.choice(texts)
    lines = (whole / name).read_bytes().splitlines(keepends=True)
    if len(lines) < 2:
        return None
    at = rng.randrange(len(lines) - 1)
    lines[at : at + 2] = [lines[at + 1], lines[at]]
    return Damage(
        "lines in another order",
        f"{name}:{at + 1}",
        lambda path: (path / name).write_bytes(b"".join(lines)) and None,
    )


def _delete(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    name = rng.choice(files)
    return Damage("lost file", name, lambda path: (path / name).unlink())


def _swap(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    name = rng.choice(files)
    alike = [one for one in files if Path(one).name == Path(name).name and one != name]
    if not alike:
        return None
    second = rng.choice(alike)

    def do(path: Path) -> None:
        first = (path / name).read_bytes()
        (path / name).write_bytes((path / second).read_bytes())
        (path / second).write_bytes(first)

    return Damage("swapped files", f"{name} and {second}", do)


def _foreign(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    """A whole commit of another run, or a file of it."""
    folders = sorted({Path(one).parent.as_posix() for one in files if "/0" in one})
    name = rng.choice(folders if rng.random() < 0.5 else files)
    if not (other / name).exists() or name in (".", RUN, PAIRS):
        return None

    def do(path: Path) -> None:
        if (path / name).is_dir():
            shutil.rmtree(path / name)
            shutil.copytree(other / name, path / name)
        else:
            shutil.copyfile(other / name, path / name)

    return Damage("from another run", name, do)


def _edit(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    """A value of a JSON or YAML file is another, or a key is gone."""
    name = rng.choice([one for one in files if one.endswith((".json", ".yaml"))])
    is_json = name.endswith(".json")
    text = (whole / name).read_text(encoding="utf-8")
    values = json.loads(text) if is_json else yaml.safe_load(text)
    if not isinstance(values, dict) or not values:
        return None
    place, key = values, rng.choice(sorted(values, key=str))
    trail = [str(key)]
    while isinstance(place[key], dict) and place[key]:
        place = place[key]
        key = rng.choice(sorted(place, key=str))
        trail.append(str(key))
    if rng.random() < 0.3:
        del place[key]
    else:
        place[key] = rng.choice([None, 0, 7, -1.5, "x", [], {}, True, [[1]], {"a": {"b": None}}])
    changed = json.dumps(values) if is_json else yaml.safe_dump(values, sort_keys=False)
    return Damage(
        "edited value",
        f"{name}: {'.'.join(trail)}",
        lambda path: (path / name).write_text(changed, encoding="utf-8") and None,
    )


def _lose_line(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    names = ("overrides.jsonl", "labels.jsonl")
    journals = [one for one in files if Path(one).name in names]
    if not journals:
        return None
    name = rng.choice(journals)
    lines = (whole / name).read_bytes().splitlines(keepends=True)
    at = rng.choice([len(lines) - 1, rng.randrange(len(lines))])
    kept = b"".join(line for n, line in enumerate(lines) if n != at)
    return Damage(
        "lost line",
        f"{name}:{at + 1}",
        lambda path: (path / name).write_bytes(kept) and None,
    )


def _drop_folder(whole: Path, other: Path, files: list[str], rng: random.Random) -> Damage | None:
    folders = sorted({Path(one).parent.as_posix() for one in files} - {".", RUN, PAIRS})
    name = rng.choice(folders)
    odd = rng.choice([None, "²", "1", "-3", "000001", "x"])

    def do(path: Path) -> None:
        if odd is None:
            shutil.rmtree(path / name)
        else:
            shutil.copytree(path / name, (path / name).with_name(odd), dirs_exist_ok=True)

    return Damage("lost folder" if odd is None else "unexpected folder", f"{name} {odd or ''}", do)


def guarded(work: Callable[[], object]) -> int:
    """Do what a command would do; return its exit code and print its error, as `cli.app.run`."""
    try:
        work()
    except SelfInstructError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0
