"""A dataset card: the content of an export, how it was made and filtered, and examples."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from selfinstruct import __version__
from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal_of
from selfinstruct.common.errors import ConfigError
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.styles import SELF_INSTRUCT, STYLES
from selfinstruct.dataset.authors import caution, licences, makers, model_title
from selfinstruct.dataset.export import holds_conversations
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, ExportRow, export_rows
from selfinstruct.dataset.select import EVERYTHING, Selection, selected
from selfinstruct.decisions.counts import count
from selfinstruct.decisions.view import View, read_view
from selfinstruct.filters.rules import reasons
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.store import Run
from selfinstruct.store.commits import ANSWERS, REVISED

MARK = "<!-- dataset card by selfinstruct -->"
_EXAMPLES = 10
_LONGEST = 600  # characters shown of a text


def dataset_card(
    run: Run, format: Format, answers: Answers, selection: Selection = EVERYTHING
) -> str:
    """Return the card of an export as Markdown with the hub's YAML header.

    Args:
        run: the run.
        format: how it is exported.
        answers: whose outputs.
        selection: which rows.
    """
    whole = holds_conversations(format, answers, selection.conversations)
    everything = export_rows(run, answers, conversations=whole, limits=selection.limits)
    rows = list(selected(run, everything, answers, selection))
    config = stored_config(run)
    authors = _models(run, answers)
    models = [one for one in authors if not one.get("imported")]
    data = [str(one["imported"]) for one in authors if one.get("imported")]
    infos = [run.info(number) for number in run.rounds()]
    parts = [
        _header(models, data, len(rows)),
        MARK,
        f"# {run.name}",
        _introduction(makers(models, data), config, rows, "pairs" if selection.pairs else format),
        _selection(selection),
        "## How it was made",
        _made(run, config, models, infos),
        _teachers(run, answers),
        "## What was filtered",
        _filtered(run),
        _yields(infos),
        "## Examples",
        "Ten at random, as they are:" if len(rows) > _EXAMPLES else "All of them:",
        *_examples(rows, config.seed),
        "## Before you use it",
        caution(models, data),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _selection(selection: Selection) -> str:
    """Return what part of the run this is; an empty text for the whole."""
    parts = [f"Only a part of the run: `{selection.said()}`."] if selection.said() else []
    if selection.system is not None:
        parts.append(f"Every row has the system prompt `{selection.system[:_LONGEST]}`.")
    return " ".join(parts)


def check_card(folder: Path, *, force: bool = False) -> Path:
    """Return where the card of a folder goes.

    Raises:
        ConfigError: the README.md there is not a card of ours, and `force` is not given.
    """
    path = folder / "README.md"
    try:
        if (
            not force
            and path.exists()
            and MARK not in path.read_text(encoding="utf-8", errors="replace")
        ):
            raise ConfigError(
                f"{path}: is there already, and no card of ours; move it away, or give --force"
            )
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check --out") from error
    return path


def write_card(
    run: Run,
    folder: Path,
    format: Format,
    answers: Answers,
    selection: Selection = EVERYTHING,
    *,
    force: bool = False,
) -> Path:
    """Write the card as README.md into a folder, whole or not at all; return its path.

    Raises:
        ConfigError: another README.md is there, or the folder cannot be written.
        WriteError: the disk is full or broken.
    """
    path = check_card(folder, force=force)
    with refusal_of(path):
        atomic.write_text(path, dataset_card(run, format, answers, selection))
    return path


def _header(models: Sequence[Mapping[str, Any]], data: Sequence[str], rows: int) -> str:
    terms = "; ".join([*licences(models), *(["see the data"] if data else [])])
    size = next(
        (name for limit, name in _SIZES if rows < limit),
        "10M<n<100M",
    )
    header: dict[str, Any] = {
        "license": terms.lower() if terms == "Apache-2.0" else "other",
        "task_categories": ["text-generation"],
        "tags": [*(["synthetic", "self-instruct"] if models else []), "instruction-tuning"],
        "size_categories": [size],
    }
    if header["license"] == "other":
        header["license_name"] = terms
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---"


_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


def _models(run: Run, answers: Answers) -> list[Mapping[str, Any]]:
    """Return the models that wrote the export, each once."""
    merged = [one["model"] for one in run.meta.get("merged_from", [])]
    models = [*(merged or [run.meta["model"]])]
    if answers.are_teachers:
        models += [ANSWERS.info(run, number)["model"] for number in ANSWERS.numbers(run)]
    if answers.are_revised:
        models += [REVISED.info(run, number)["model"] for number in REVISED.numbers(run)]
    return list({model["digest"]: model for model in models}.values())


def _introduction(
    makers: str,
    config: RunConfig,
    rows: Sequence[ExportRow],
    format: str,
) -> str:
    tasks = len({row.instruction_id for row in rows})
    labels = len({row.instruction_id for row in rows if row.is_classification})
    with_input = sum(bool(row.input) for row in rows)
    field = f", in the field of {config.propose.domain}" if config.propose.domain else ""
    return (
        f"{len(rows):,} examples of {tasks:,} tasks{field} in the `{format}` format, {makers}. "
        f"{labels:,} of the tasks are classification; {with_input:,} of the examples have "
        f"an input.{_conversations(rows)}"
    )


def _conversations(rows: Sequence[ExportRow]) -> str:
    """Return a sentence about the rows that are whole conversations."""
    chats = [row for row in rows if row.turns]
    if not chats:
        return ""
    most = max(len(row.turns) // 2 + 1 for row in chats)
    return (
        f" {len(chats):,} of them are conversations of 2 to {most} exchanges, in which a model "
        "played both sides ([Baize](https://arxiv.org/abs/2304.01196))."
    )


def _made(
    run: Run,
    config: RunConfig,
    models: Sequence[Mapping[str, Any]],
    infos: Sequence[Mapping[str, Any]],
) -> str:
    sampling = config.propose.sampling
    terms = "; ".join(licences(models))
    by_model = {
        "model": f"{', '.join(map(model_title, models))}; licence: {terms}",
        "type of weights": config.model.dtype,
        "prompting": json.dumps(run.meta["model"]["prompting"]).replace('"', ""),
        "proposals": f"{_shown(config)}, temperature "
        f"{sampling.temperature:g}, min_p {sampling.min_p:g}, top_p {sampling.top_p:g}, "
        f"presence penalty {sampling.presence_penalty:g}",
    }
    rows = {
        **(by_model if models else {}),
        "novelty": f"ROUGE-L at most {config.novelty.threshold:g} with every task before "
        f"(`{config.novelty.tokenizer}` tokens)",
        "likelihood": _least(infos),
        "random seed": str(config.seed),
        "merged from": ", ".join(Path(one["run"]).name for one in run.meta.get("merged_from", [])),
        "made with": ", ".join(
            f"{name} {version}"
            for name, version in {
                "selfinstruct": run.meta.get("selfinstruct", __version__),
                **run.meta.get("packages", {}),
            }.items()
        ),
        "fingerprint": f"`{run.meta.get('fingerprint', '')}`",
    }
    lines = [f"| {key} | {_cell(value)} |" for key, value in rows.items() if value]
    return "\n".join(["| | |", "|---|---|", *lines])


def _shown(config: RunConfig) -> str:
    """Return what proposals show, by their style."""
    style = STYLES[config.propose.style]
    if style is SELF_INSTRUCT:
        return f"{config.propose.in_context} tasks shown"
    return f"style {style.name}: {style.help} ({style.source})"


def _least(infos: Sequence[Mapping[str, Any]]) -> str:
    """Return the likelihood thresholds at the end of the run, by kind."""
    last = infos[-1].get("likelihood", {}) if infos else {}
    known = [f"{kind} at least {value:.2f}" for kind, value in last.items() if value is not None]
    return f"{', '.join(known)} nats per token under the model itself" if known else ""


def _teachers(run: Run, answers: Answers) -> str:
    if answers is Answers.OWN:
        return ""
    if answers.are_revised:
        return _revisers(run, answers)
    infos = [ANSWERS.info(run, number) for number in ANSWERS.numbers(run)]
    names = sorted({model_title(info["model"]) for info in infos})
    mixed = answers is Answers.PREFER_TEACHER
    which = "Where accepted, outputs are" if mixed else "All outputs are"
    return f"{which} by {', '.join(names)}, asked for the same instruction and input."


def _revisers(run: Run, answers: Answers) -> str:
    """Return a sentence about who revised the outputs."""
    infos = [REVISED.info(run, number) for number in REVISED.numbers(run)]
    names = sorted({model_title(info["model"]) for info in infos})
    which = "All outputs are" if answers is Answers.REVISION else "Where accepted, outputs are"
    return (
        f"{which} revisions by {', '.join(names)}, which criticised an earlier answer by a "
        "principle and rewrote it "
        "([Constitutional AI](https://arxiv.org/abs/2212.08073))."
    )


def _filtered(run: Run) -> str:
    """Return the verdicts of the rules, and people's later changes."""
    view = read_view(run)
    judged = count(view).judged
    lines = ["| outcome | instructions | instances | |", "|---|---:|---:|---|"]
    outcomes = sorted(
        {*judged.instructions, *judged.instances},
        key=lambda outcome: (outcome != "accepted", -judged.instructions[outcome], outcome),
    )
    for outcome in outcomes:
        why = "" if outcome == "accepted" else reasons()[outcome]
        shown = (counts[outcome] or "" for counts in (judged.instructions, judged.instances))
        lines.append(f"| `{outcome}` | {' | '.join(map(str, shown))} | {why} |")
    return "\n".join(lines) + _decided(view)


def _decided(view: View) -> str:
    """Return a sentence about people's later changes."""
    decisions = view.overrides.current
    if not decisions:
        return ""
    counts = Counter(str(decision.action) for decision in decisions.values())
    past = {"restore": "restored", "drop": "dropped", "edit": "edited"}
    changes = ", ".join(
        f"{counts[action]} {done}" for action, done in past.items() if counts[action]
    )
    return f"\n\nOf these candidates people then changed: {changes}."


def _yields(infos: Sequence[Mapping[str, Any]]) -> str:
    """Return the yield of each round as a bar, at most twenty rounds of them."""
    step = max(1, -(-len(infos) // 20))
    lines = [
        f"round {info['round']:>4}  {'█' * round(40 * info['yield']):<40} {info['yield']:.0%}"
        for info in infos[::step]
    ]
    return "Yield, tasks of the instructions proposed:\n\n```text\n" + "\n".join(lines) + "\n```"


def _examples(rows: Sequence[ExportRow], seed: int) -> list[str]:
    chosen = random.Random(seed).sample(list(rows), min(_EXAMPLES, len(rows)))
    return [
        "\n\n".join(
            f"**{name}**\n\n{_quoted(text)}"
            for name, text in (
                ("Instruction", row.instruction),
                ("Input", row.input),
                ("Output", row.output),
            )
            if text
        )
        + "\n\n---"
        for row in chosen
    ]


def _quoted(text: str) -> str:
    """Return model text as an indented block, which Markdown shows and does not render."""
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + " […]"
    return "\n".join(f"    {line}" for line in shown.splitlines())


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
