"""Every command that writes, on a scripted engine: what is there before it, and how it goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfinstruct.common.records import Request, Stage
from selfinstruct.dataset.formats import Format
from selfinstruct.engines.scripted import ScriptedEngine
from tests.conftest import draw, make_seed, varied_script, write_seeds
from tests.generate.chatting import chatty

# What nobody's command may touch.
FOREIGN = {"notes.txt": b"mine\n", "outputs/keep/letter.txt": b"also mine\n"}
# What a run may replace of itself while it grows, and what only grows. The journal of an open round
# goes with its commit.
OF_A_RUN = (
    r"^run/(run\.yaml|status\.json|\.commits\.json|\.?(overrides|labels)\.jsonl(\.sum)?"
    r"|rounds/\.[0-9]{5,}\.open)$"
)
_CACHE = r"^cache/"


@dataclass(frozen=True)
class Command:
    """A command that writes, in a folder of its own.

    name: as the report calls it.
    begin: makes what is there before.
    words: the command; or `call`, which returns its exit code.
    again: its words once it was stopped; by default the same.
    ready: what it says where it was stopped after all was done.
    changes: names of the files that it may replace.
    moves: whether it moves files aside: then none may be lost, wherever it lies.
    repacks: whether it puts rounds into other files: then each round must say the same.
    stands: whether what stands of the run counts at the end, not each file: a decision that was
        on the disk when its process died is there twice, and says the same.
    trains: whether it needs torch and TRL.
    """

    name: str
    begin: Callable[[], None]
    words: Sequence[str] = ()
    again: Sequence[str] = ()
    ready: str = ""
    call: Callable[[], int] | None = None
    changes: str = OF_A_RUN
    moves: bool = False
    repacks: bool = False
    stands: bool = False
    trains: bool = False

    def run(self, again: bool = False) -> int:
        """Run it here, in the present folder; return its exit code."""
        if self.call is not None:
            return self.call()
        return cli((self.again or self.words) if again else self.words)

    @property
    def may_change(self) -> re.Pattern[str]:
        return re.compile(f"{self.changes}|{_CACHE}")


def cli(words: Sequence[str]) -> int:
    from selfinstruct.cli.app import run

    return run(list(words))


def script(request: Request) -> str | tuple[str, str]:
    """Answer every request of every command, by the request alone."""
    if request.stage in (Stage.USER, Stage.REPLY):
        return chatty(request)
    if request.stage in (Stage.PROPOSE, Stage.CLASSIFY, Stage.INSTANCES):
        return varied_script(request)
    return f" An answer {'very ' * draw(request, 'length', 5)}{draw(request, 'which', 90)}."


def become_scripted(root: Path) -> None:
    """Have this process ask the scripted engine, and keep nothing outside of a folder."""
    from selfinstruct.engines import isolated, registry

    os.environ |= {"SELFINSTRUCT_CACHE": str(root / "cache"), "HF_HUB_OFFLINE": "1"}
    os.environ |= {"USER": "ann", "LOGNAME": "ann", "COLUMNS": "100"}
    kind = replace(
        registry.engine_kind("vllm"),
        require=lambda: None,
        build=lambda *_: ScriptedEngine(script, batch=16),
    )
    registry.ENGINES[:] = [kind]

    def with_engine(loaded: Any, work: Any, advance: Any, **_: Any) -> Any:
        return work(ScriptedEngine(script, batch=16), advance=advance)

    isolated.with_engine = with_engine
    os.chdir(root)


def _inputs() -> None:
    for name, content in FOREIGN.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)
    Path("model").mkdir()
    Path("model/config.json").write_text('{"max_position_embeddings": 8192}')
    Path("model/model.safetensors").write_bytes(b"")
    write_seeds(Path("seeds.jsonl"), [make_seed(number) for number in range(8)])


def _generated(out: str = "run", *more: str) -> list[str]:
    words = ["generate", "--out", out, "--model", "./model", "--prompting", "base"]
    words += ["--seeds", "seeds.jsonl", "--set", "propose.per_round=2", "--target", "3"]
    return [*words, *more]


def _has_run(*more: str) -> None:
    _inputs()
    assert cli(_generated("run", *more)) == 0


def _decided() -> None:
    from selfinstruct.audit.sample import draw_sample
    from selfinstruct.audit.search import Filter, candidates
    from selfinstruct.decisions.decide import drop
    from selfinstruct.store import open_run

    _has_run()
    run = open_run(Path("run"))
    drop(run, next(candidates(run, Filter(verdict="accepted")))["id"], by="ann")
    draw_sample(run, 1)


def _completable() -> None:
    from selfinstruct.audit.search import Filter, candidates
    from selfinstruct.decisions.decide import restore
    from selfinstruct.store import open_run

    _has_run("--target", "5")
    run = open_run(Path("run"))
    for row in list(candidates(run, Filter(reason="not_novel")))[:3]:
        restore(run, row["id"], by="ann")


def _answered() -> None:
    _has_run()
    assert cli(["answer", "run", "--model", "./model", "--prompting", "base"]) == 0


def _revised() -> None:
    _has_run()
    assert cli(["revise", "run"]) == 0


def _two_runs() -> None:
    _has_run()
    assert cli(_generated("other", "--seed", "1")) == 0


def _damaged() -> None:
    _decided()
    assert cli(["generate", "--out", "run", "--resume", "--target", "8"]) == 0
    last = max(Path("run/rounds").glob("[0-9]*"))
    (last / "instances.parquet").write_bytes(b"torn")
    with Path("run/overrides.jsonl").open("a") as handle:
        handle.write("no JSON\n")


def _compacted() -> None:
    _has_run("--target", "9")
    assert cli(["compact", "run"]) == 0


def _damaged_pack() -> None:
    _compacted()
    assert cli(["generate", "--out", "run", "--resume", "--target", "12"]) == 0
    file = next(Path("run/compacted").glob("*/instances.parquet"))
    file.write_bytes(file.read_bytes()[:-9])


def _rows() -> None:
    _inputs()
    rows = [{"text": f"The soup {n} was hot, and {n} spoons.", "label": n % 2} for n in range(12)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _tasks() -> None:
    _inputs()
    rows = [
        {"instruction": f"Name capital {n}.", "instances": [{"output": f"Paris {n}"}]}
        for n in range(14)
    ]
    Path("tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _trainable() -> None:
    from tests.train.tiny import tiny_model

    _tasks()
    tiny_model(Path("tiny"))
    rows = [{"prompt": f"Name colour {n}.", "completion": "red"} for n in range(12)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _decide(act: str, *words: str) -> Callable[[], int]:
    """Return a decision about the first candidate that is accepted, or rejected."""

    def call() -> int:
        import pyarrow.parquet as pq

        files = sorted(Path("run/rounds").glob("*/instructions.parquet"))
        table = [row for file in files for row in pq.read_table(file).to_pylist()]
        rejected = [row["id"] for row in table if row["reason"] == "not_novel"]
        accepted = [row["id"] for row in table if row["verdict"] == "accepted"]
        id = rejected[0] if act == "restore" else accepted[1]
        return cli(["audit", act, "run", id, *words])

    return call


def _label() -> int:
    from selfinstruct.audit.rating import needed_sample, rate
    from selfinstruct.decisions.labels import Rating, read_labels
    from selfinstruct.store import open_run
    from tests.faults.damage import guarded

    def work() -> None:
        run = open_run(Path("run"))
        known = {entry.id for entry in read_labels(run).entries}
        for id in needed_sample(run).ids[:4]:
            if id not in known:
                rate(run, id, Rating.A, "ann")

    return guarded(work)


def _align() -> int:
    """A chain whose stages are commands that write their last file alone."""
    from selfinstruct.align.chain import align
    from selfinstruct.common import atomic
    from tests.align.test_chain import NAMES, WRITES, settings
    from tests.faults.damage import guarded

    out = Path("chain")

    def stage(words: Sequence[str]) -> int:
        path, told = WRITES[NAMES.get(" ".join(words[:2]), words[0])]
        with atomic.refusal(out / path):
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            atomic.write_json(out / path, {"schema_version": 1} if told is None else told)
        return 0

    def chain() -> None:
        align(out, settings(), stage, lambda *_: None)

    return guarded(chain)


def _align_again() -> int:
    """A chain of two iterations: its stages write their last file alone, and the curve none."""
    from selfinstruct.align.chain import align
    from tests.align.scripted import Scripted, drawn
    from tests.align.test_chain import settings
    from tests.faults.damage import guarded

    out, how = Path("chain"), settings(methods=("rl",), iterations=2)
    return guarded(lambda: align(out, how, Scripted(out, how), lambda *_: None, drawn))


def _export(format: Format) -> Command:
    out = f"exports/{format}.{format.suffix}"
    words = ("export", "run", "--format", str(format), "--out", out, "--card")
    return Command(f"export --format {format}", _answered, words, changes="^$")


def _export_again() -> None:
    _has_run()
    assert cli(["export", "run", "--format", "alpaca", "--out", "train.jsonl"]) == 0
    assert cli(["generate", "--out", "run", "--resume", "--target", "6"]) == 0


def commands() -> list[Command]:
    """Return every command that writes."""
    resume = ("generate", "--out", "run", "--resume", "--target", "7")
    policy = ("--policy", "./model")
    prefer = ("prefer", "run", *policy, "--out", "pairs", "--k", "3", "--held-out", "1")
    best = ("best-of", "tasks.jsonl", *policy, "--k", "2", "--out", "best", "--limit", "6")
    imports = ("import", "rows.jsonl", "--template", "sentiment", "--out", "run")
    sft = ("train", "sft", "--data", "rows.jsonl", "--model", "./tiny", "--out", "sft")
    sft += ("--epochs", "2", "--max-length", "128", "--set", "bf16=false")
    sft += ("--set", "save_strategy=epoch", "--validation", "0", "--full")
    evaluate = ("evaluate", "--model", "a=./tiny", "--tasks", "tasks.jsonl", "--out", "evaluation")
    evaluate += ("--plain-text", "none")
    votes = ("answer", "run", "--model", "./model", "--votes", "2", "--all-tasks")
    return [
        Command(
            "init",
            _inputs,
            ("init", "mine.yaml", "--preset", "veterinary"),
            ("init", "mine.yaml", "--preset", "veterinary", "--force"),
        ),
        Command("generate", _inputs, _generated(), (*_generated(), "--resume")),
        Command("generate --resume", _has_run, resume),
        Command(
            "generate --resume, compacted",
            _compacted,
            ("generate", "--out", "run", "--resume", "--target", "13"),
        ),
        Command("answer", _has_run, ("answer", "run", "--model", "./model", "--prompting", "base")),
        Command("answer --votes", _has_run, votes),
        Command("audit judge", _has_run, ("audit", "judge", "run", "--judge", "./model")),
        Command("complete", _completable, ("complete", "run")),
        Command("converse", _has_run, ("converse", "run", "--turns", "3")),
        Command("revise", _has_run, ("revise", "run", "--rounds", "2")),
        Command(
            "export --as-pairs", _revised, ("export", "run", "--as-pairs", "--out", "pairs.jsonl")
        ),
        Command("import", _rows, imports, (*imports, "--resume")),
        Command("merge", _two_runs, ("merge", "run", "other", "--out", "both"), ready="both"),
        Command(
            "audit whatif --out",
            _has_run,
            ("audit", "whatif", "run", "--rouge", "0.5", "--out", "wide"),
            ready="wide",
        ),
        Command("audit sample", _decided, ("audit", "sample", "run"), stands=True),
        Command("audit label", _decided, call=_label, stands=True),
        Command("audit restore", _decided, call=_decide("restore"), ready="already", stands=True),
        Command("audit drop", _decided, call=_decide("drop"), ready="already", stands=True),
        Command(
            "audit edit",
            _decided,
            call=_decide("edit", "--text", "Name two trees."),
            ready="already",
            stands=True,
        ),
        Command(
            "audit repair",
            _damaged,
            ("audit", "repair", "run"),
            moves=True,
            changes=OF_A_RUN + r"|^run/(rounds|\.?overrides|\.?labels)",
        ),
        Command(
            "compact",
            lambda: _has_run("--target", "9"),
            ("compact", "run"),
            repacks=True,
            changes=OF_A_RUN + r"|^run/(rounds|compacted)/|^run/run\.yaml$",
        ),
        Command(
            "audit repair, compacted",
            _damaged_pack,
            ("audit", "repair", "run"),
            moves=True,
            changes=OF_A_RUN + r"|^run/(rounds|compacted|\.?overrides|\.?labels)",
        ),
        *(_export(format) for format in Format),
        Command(
            "export over an earlier one",
            _export_again,
            ("export", "run", "--format", "alpaca", "--out", "train.jsonl"),
            changes=r"^(train\.jsonl|\.selfinstruct-exports\.jsonl)$",
        ),
        Command(
            "export --for axolotl",
            _has_run,
            ("export", "run", "--for", "axolotl", "--out", "axolotl/train.jsonl"),
            changes="^$",
        ),
        Command(
            "prefer",
            lambda: _has_run("--target", "14"),
            prefer,
            (*prefer, "--resume"),
            ready="holds preferences already",
        ),
        Command("best-of", _tasks, best, (*best, "--resume"), ready="holds chosen answers already"),
        Command("align", _inputs, call=_align, changes="^$"),
        Command("align --iterations", _inputs, call=_align_again, changes="^$"),
        Command("evaluate", _trainable, evaluate, changes="^$", trains=True),
        Command(
            "train sft",
            _trainable,
            sft,
            (*sft, "--resume"),
            ready="holds a trained model already",
            changes="^$",
            trains=True,
        ),
    ]


def warm() -> None:
    """Import what the commands need, and compile: a fork inherits both."""
    import duckdb  # noqa: F401
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401

    import selfinstruct.cli.app
    import selfinstruct.generate.launch
    import selfinstruct.verdicts.merge
    import selfinstruct.verdicts.whatif  # noqa: F401
    from selfinstruct.filters.novelty.index import NoveltyIndex

    index = NoveltyIndex(0.7)
    for number in range(40):
        text = f"Name {number} things that are {number + 1} or {number * 7} years old today."
        index.nearest(text, 0.3)
        index.add(str(number), text)


def begun(command: Command, root: Path) -> None:
    """Make what is there before a command, in a folder that is new."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    become_scripted(root)
    command.begin()
