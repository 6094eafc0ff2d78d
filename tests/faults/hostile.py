"""Completions that no model should write, through parsing, filters, commit and export."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selfinstruct.common.progress import silent
from selfinstruct.common.records import Completion, Request, Stage
from selfinstruct.config.values import nested
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.launch import launch
from selfinstruct.store import Run
from selfinstruct.verdicts.replay import replay
from tests.conftest import make_seed, varied_script, write_seeds

_MARKS = (
    *("\x00", "\x01\x02", "\x1b[31m", "\x7f", "\x85", "\x9b2J", "\r", "\r\n", "\n\n", "\x0b\x0c"),
    *("\u202e", "\u2066", "\u2069", "\u200b", "\u200d", "\ufeff", "\u2028", "\u2029", "\u061c"),
    *("\ud800", "\udfff", "\ud83d", "\ufffe", "\uffff", "\U0010ffff", "\ue000", "e\u0301" * 40),
    *("1" * 500, "-1e999", "NaN", "Infinity", "0x" + "f" * 90, "9" * 5000 + ".", "1.", "²", "٣."),
    *("{" * 900, "[" * 900, "(" * 400, '{"a":' * 300, "<div>" * 200, "*" * 300, "#" * 200),
    *("### Task", "### Answer", "Input:", "Output:", "Label:", "Task 3:", "Class label:", "Q:"),
    *("<|im_start|>user", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "[INST]", "<think>"),
    *("</think>", "{{ task }}", "{% for x in y %}", "{{ 7*7 }}", "${HOME}", "%s%n", "$(reboot)"),
    *("---", "***", "===", "```", "```python", "| a | b |", "\t\t", " " * 900, "\u00a0" * 50),
    *("=cmd|' /C calc'!A0", "'; DROP TABLE runs; --", "../../etc/passwd", "> " * 99),
    *("<script>alert(1)</script>", '\\"', "\\u0000", "\\", '"', "'", "`", "&amp;"),
    *("\U0001f3f3\ufe0f\u200d\U0001f308", "ﷺ", "中文", "عربى", "हिन्दी"),
)
_TEXT = "name two tall trees that grow by the old harbour and tell why they lean to the west"
_WORDS = _TEXT.split()


def hostile_text(rng: random.Random) -> str:
    """Return a text of marks, words and list items in any mixture; now and then a megabyte."""
    size = rng.randrange(2000)
    if size == 0:
        mark = rng.choice(_MARKS)
        return mark * (1_000_000 // len(mark))
    if size == 1:
        return "\n".join(f"{n}. {rng.choice(_WORDS)} {n}" for n in range(9_000))
    kind = rng.randrange(200)
    if kind < 4:
        return ""
    if kind < 20:
        return "".join(chr(rng.randrange(0x300)) for _ in range(rng.randrange(400)))
    if kind < 30:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(200)))
    parts = []
    for n in range(rng.randrange(1, 24)):
        draw = rng.randrange(6)
        if draw < 2:
            parts.append(rng.choice(_MARKS))
        elif draw < 4:
            parts.append(" ".join(rng.choices(_WORDS, k=rng.randrange(1, 15))))
        elif draw == 4:
            parts.append(f"\n{n}. {' '.join(rng.choices(_WORDS, k=8))}")
        else:
            parts.append(rng.choice((" ", "\n", "", "\nOutput: ", "\nInput: ", "\nLabel: ")))
    return "".join(parts)


@dataclass
class HostileScript:
    """Answers with hostile texts; three in ten as a good model would, so that there is more to ask.

    said: every text that was answered, by the request's id.
    """

    seed: int
    said: dict[str, str] = field(default_factory=dict)

    def __call__(self, request: Request) -> str | tuple[str, str]:
        rng = random.Random(f"{self.seed}|{request.id}|{request.seed}")
        # An instruction with half a character stands in the prompt for its instances.
        request = replace(request, prompt=str(request.prompt).encode(errors="replace").decode())
        answer: Any = varied_script(request)
        if rng.random() < 0.7 or request.stage is Stage.INSTANCES:
            answer = hostile_text(rng), rng.choice(("stop", "stop", "length"))
            if rng.random() < 0.3:
                good, _ = _as_pair(varied_script(request))
                answer = (f"{good}\n{answer[0]}", answer[1])
        text, reason = _as_pair(answer)
        self.said[request.id] = text
        return text, reason


def _as_pair(answer: str | tuple[str, str]) -> tuple[str, str]:
    return answer if isinstance(answer, tuple) else (answer, "stop")


@dataclass
class Hostile:
    """What became of hostile completions.

    rounds: committed ones. completions: recorded ones. candidates: with a verdict.
    """

    rounds: int = 0
    completions: int = 0
    candidates: int = 0
    accepted: int = 0
    exported: int = 0
    problems: list[str] = field(default_factory=list)


def run_hostile(folder: Path, completions: int, seed: int = 0, advance: Any = None) -> Hostile:
    """Have a run be written by a hostile model until it has so many completions.

    Args:
        folder: a new one.
        completions: least number.
        seed: of the texts.
        advance: called with the number of completions after each round.

    Raises:
        Exception: whatever a hostile completion causes.
    """
    folder.mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text('{"max_position_embeddings": 8192}')
    (folder / "model" / "model.safetensors").write_bytes(b"")
    seeds = write_seeds(folder / "seeds.jsonl", [make_seed(number) for number in range(12)])
    script, out = HostileScript(seed), folder / "run"
    per_round = max(4, min(300, completions // 12))
    values: dict[str, Any] = {
        "model.name": str(folder / "model"),
        "model.prompting": "base",
        "seeds": str(seeds),
        "propose.per_round": per_round,
        "stop.target": 10**6,
        "stop.min_yield": 0.0,
        "likelihood.quantile": None,
        "likelihood.seed_bound": False,
    }
    found = Hostile()
    while found.completions < completions:
        values["stop.max_rounds"] = found.rounds + 2
        run, _ = launch(
            out,
            nested(values),
            resume=found.rounds > 0,
            make_engine=lambda *_: ScriptedEngine(script, batch=64),
            listen=silent,
        )
        values = {key: value for key, value in values.items() if key.startswith("stop.")}
        for number in run.rounds()[found.rounds :]:
            _look_at(run, number, script, found)
        found.rounds = len(run.rounds())
        if advance is not None:
            advance(found.completions)
    found.problems += [f"replay: {one}" for one in replay(run)][:20]
    for format in Format:
        path = folder / f"{format}.{format.suffix}"
        found.exported += export(run, format, path)
    return found


def _look_at(run: Run, number: int, script: HostileScript, found: Hostile) -> None:
    """Compare a round with what the model said: every completion is kept, and is judged."""
    data = run.read_round(number)
    judged = {row.completion_id for row in (*data.instructions, *data.instances)}
    for completion in data.completions:
        id, stage = completion.id, completion.request.stage
        said = script.said.get(id)
        if said is not None and not _is_kept(completion, said):
            found.problems.append(f"{id}: said {said[:60]!r}, kept {completion.text[:60]!r}")
        if stage in (Stage.PROPOSE, Stage.INSTANCES) and id not in judged:
            found.problems.append(f"{id}: has no candidate")
    for row in (*data.instructions, *data.instances):
        if (row.verdict == "rejected") != (row.reason is not None) or not row.verdict:
            found.problems.append(f"{row.id}: verdict {row.verdict}, reason {row.reason}")
        found.accepted += row.verdict == "accepted"
        found.candidates += 1
    found.completions += len(data.completions)


def _is_kept(completion: Completion, said: str) -> bool:
    """Whether all is kept that the model said: halves of characters as U+FFFD, thinking apart."""
    said = re.sub("[\ud800-\udfff]", "\ufffd", said)
    if completion.thinking is None:
        return completion.text == said
    kept = completion.thinking + completion.text
    # Marks and white space between the parts go; parts of thinking are joined.
    return _letters(said) == _letters(kept)


def _letters(text: str) -> list[str]:
    return sorted(re.sub(r"</?think>|\s", "", text))
