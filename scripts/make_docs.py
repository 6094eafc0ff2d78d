"""Write the generated parts of the docs: tables of config, reasons, rules, columns and lists.

`python scripts/make_docs.py` writes them, `--check` only says whether they are up to date.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from docs_reference import (
    commands_page,
    export_table,
    formats_page,
    index_page,
    preset_table,
    python_page,
    quality_table,
    reasons_page,
    rest_page,
)

from selfinstruct.align.steps import METHODS
from selfinstruct.common.versions import RULES_VERSION
from selfinstruct.config.schema import RunConfig, leaves
from selfinstruct.config.styles import OPERATIONS, STYLES
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.trainers import TRAINERS, config_path
from selfinstruct.engines.registry import ENGINES
from selfinstruct.evaluate.checks import CHECKS
from selfinstruct.filters.rule import Of, Rule, When
from selfinstruct.filters.rules import reasons, rules_in_force
from selfinstruct.inputs.formats import FORMATS
from selfinstruct.inputs.formats.base import Format as DataFormat
from selfinstruct.inputs.formats.base import Kind
from selfinstruct.inputs.purposes import PURPOSES, Purpose
from selfinstruct.inputs.task_templates import shipped_templates
from selfinstruct.labellers.base import MODEL_OPTIONS, Labeller
from selfinstruct.labellers.registry import LABELLERS
from selfinstruct.store import chat_tables, judgement_table, revision_table, schema
from selfinstruct.store.layout import CHATS, JUDGEMENTS, REVISIONS, TURNS
from selfinstruct.train.rewards.kinds import KINDS

ANSWER_COLUMNS = "answers/…/instances.parquet, also"

ROOT = Path(__file__).resolve().parent.parent
CONFIG_INTRO = """# Configuration

Set a key in a YAML file (`--config`), or on the command line as `--set KEY=VALUE`.
`selfinstruct init` writes a file with all of them ([presets](presets.md)).

The kind of a key says whether it may change on `--resume`:

- *semantic* keys decide what a run contains. They cannot change.
- *stopping* and *throughput* keys may change.
- *input* keys are compared by content: the same data in another file is fine.

Values that depend on the model or the machine (`auto`) are detected at the start and stored in
`run.yaml`. In the table, *rule:* marks a key that switches a rule of the filters on or off, or sets
its limit ([rules](rules.md)).

"""


def config_table() -> str:
    """Return a table of every key, its default, kind and meaning."""
    lines = ["| key | default | kind | meaning |", "|---|---|---|---|"]
    for key, kind, value, description in leaves(RunConfig()):
        default = json.dumps(value, ensure_ascii=False)
        if len(default) > 60:
            default = f"{len(value)} entries"
        lines.append(f"| `{key}` | `{default}` | {kind} | {description} |")
    return "\n".join(lines) + "\n"


def rule_table(of: Of) -> str:
    """Return a table of the rules on instructions or instances, in the order of the flow."""
    rules = rules_in_force(of, RULES_VERSION)
    lines = ["| reason | keys | checked | meaning | in detail |", "|---|---|---|---|---|"]
    lines += [
        f"| `{rule.reason}` | {_keys(rule)} | {_step(rule)} | "
        f"{rule.help or reasons()[rule.reason]} | {rule.details} |"
        for rule in rules
    ]
    return "\n".join(lines) + "\n"


STEPS = {
    When.READ: "while parsing",
    When.TEXT: "on the text",
    When.AMONG: "among the task's instances",
    When.LIKELIHOOD: "on the likelihood",
    When.NOVELTY: "on the novelty",
    When.LAST: "after its instances",
}


def _step(rule: Rule) -> str:
    """Return when a rule is checked."""
    is_answer = rule.of is Of.INSTANCE and rule.when is When.LAST
    return "on answers (`answer`)" if is_answer else STEPS[rule.when]


def chat_rule_table(of: Of) -> str:
    """Return a table of the rules on turns of self-chats, on self-chats, or on revisions."""
    lines = ["| reason | meaning | in detail |", "|---|---|---|"]
    lines += [
        f"| `{rule.reason}` | {rule.help} | {rule.details} |"
        for rule in rules_in_force(of, RULES_VERSION)
    ]
    return "\n".join(lines) + "\n"


def _keys(rule: Rule) -> str:
    return ", ".join(f"`{rule.section}.{name}`" for name in rule.limits.model_fields)


def engine_table() -> str:
    """Return a table of every engine, what it can do and what can be set for it."""
    lines = [
        "| `--engine` | what it is | log-probabilities | scores a given text | random seeds | "
        "can continue a turn that the prompt begins | its further keys |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in ENGINES:
        can = kind.capabilities
        shown = ["depends"] * 4
        if can is not None:
            able = (can.logprobs, can.score, can.seeded, can.continues)
            shown = ["yes" if one else "no" for one in able]
        keys = ", ".join(f"`{key}`" for key in sorted(kind.options.keys))
        cells = [f"`{kind.name}`", kind.options.help, *shown, keys]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def format_table() -> str:
    """Return a table of every export format and what a row of it holds."""
    lines = ["| `--format` | file | a row |", "|---|---|---|"]
    lines += [f"| `{format}` | `.{format.suffix}` | {format.help} |" for format in Format]
    return "\n".join(lines) + "\n"


# The best-known ones first; the list of the code is in the order in which they are recognised.
DATA_FORMATS = sorted(
    FORMATS, key=lambda known: (known.kind is not Kind.TASKS, "alpaca" not in known.name)
)


def data_format_table() -> str:
    """Return a table of every format that data may come in."""
    lines = ["| `--format` | a row | an example |", "|---|---|---|"]
    for format in DATA_FORMATS:
        example = json.dumps(format.example, ensure_ascii=False)
        lines.append(f"| `{format.name}` | {format.help} | `{example}` |")
    return "\n".join(lines) + "\n"


def data_command_table() -> str:
    """Return a table of what each command uses of each format."""
    names = " | ".join(f"`{format.name}`" for format in DATA_FORMATS)
    lines = [f"| | {names} |", f"|---|{'---|' * len(DATA_FORMATS)}"]
    for purpose in PURPOSES:
        cells = " | ".join(_taken(purpose, format) for format in DATA_FORMATS)
        lines.append(f"| `{purpose.option}` | {cells} |")
    return "\n".join(lines) + "\n"


def _taken(purpose: Purpose, format: DataFormat) -> str:
    """Return what a command uses of a format, for the table."""
    if purpose.fits(format):
        return purpose.part.get(format.kind, "yes")
    column = purpose.with_column.get(format.name)
    return f"with `{column}`" if column else "–"


def trainer_table() -> str:
    """Return a table of every program that an export can be made for."""
    lines = ["| `--for` | format | writes beside it |", "|---|---|---|"]
    for trainer in TRAINERS:
        config = config_path(trainer, Path("train.jsonl")).name
        lines.append(f"| `{trainer.name}` | `{trainer.format}` | `{config}` |")
    return "\n".join(lines) + "\n"


def labeller_table() -> str:
    """Return a table of every labeller, what it says and what it needs."""
    lines = ["| name | score or judgement | what it needs | in detail |", "|---|---|---|---|"]
    lines += [
        f"| `{labeller.name}` | {labeller.help} | {_needs(labeller)} | {labeller.details} |"
        for labeller in LABELLERS
    ]
    return "\n".join(lines) + "\n"


def _needs(labeller: Labeller) -> str:
    option = MODEL_OPTIONS.get(labeller.needs)
    return f"{labeller.needs}: `{option}`" if option else str(labeller.needs)


def method_table() -> str:
    """Return a table of the methods that `align` compares, and the stages that each needs."""
    from selfinstruct.align.steps import needed

    lines = ["| `--method` | what is trained | its stages |", "|---|---|---|"]
    for step in METHODS:
        kinds = [each.kind for each in needed((step.kind,), repeated=False)]
        own = ", ".join(f"`{kind}`" for kind in kinds if kind not in ("export", "evaluate"))
        lines.append(f"| `{step.kind}` | {step.method} | {own} |")
    return "\n".join(lines) + "\n"


def check_table() -> str:
    """Return a table of every check that a task may bring with it."""
    lines = ["| `check` | an answer passes if |", "|---|---|"]
    for kind in CHECKS:
        example = json.dumps({kind.name: kind.example}, ensure_ascii=False)
        lines.append(f"| `{example}` | {kind.help} |")
    return "\n".join(lines) + "\n"


def reward_table() -> str:
    """Return a table of every kind of reward, what it says and what it needs."""
    lines = ["| `--reward` | the reward of an answer | each prompt needs |", "|---|---|---|"]
    lines += [f"| `{kind.shown}` | {kind.help} | {kind.needs} |" for kind in KINDS]
    return "\n".join(lines) + "\n"


COLUMNS = {
    "calibration.parquet": {
        "from_round": "round from which this score applies (a merged run has several such rounds)",
        "kind": "`instruction`, `output` or `label`",
        "seed_id": "the seed task",
        "mean_logprob": "nats per token under the run's model",
        "num_tokens": "number of tokens in the mean",
        "unscored_reason": "why there is no mean",
    },
    "completions.parquet": {
        "id": "`…-propose`, `…-classify`, `…-instances`, `…-answer`, `…-user`, `…-reply`, "
        "`…-critique`, `…-revise` or `…-score`",
        "stage": "what the request is for",
        "template": "template that made the prompt",
        "prompt": "the text that the model saw, BOS and chat markup included",
        "parents": "ids of the tasks shown (proposals)",
        "sampling": "sampling parameters, as JSON",
        "seed": "sampling seed of this request",
        "text": "what the model wrote",
        "thinking": "the model's thinking, stored separately; spans never point into it",
        "token_ids": "tokens that the model wrote, or scored (`stage` is `score`)",
        "token_logprobs": "log-probability of each, in nats",
        "token_starts": "index of the first character of `text` that belongs to each token",
        "token_ends": "index after the last character of each token",
        "finish_reason": "`stop`, `length`, `scored` or `error`",
        "num_prompt_tokens": "tokens of the prompt",
        "num_output_tokens": "tokens written",
        "error": "why there is no text",
        "about": "id of what the request is about",
        "reading": "how the text is parsed, as JSON: `form` and the other parts described above",
        "conversation": "the chat messages of the prompt, as JSON; null: the prompt is plain text",
    },
    "instructions.parquet": {
        "id": "of the instruction",
        "round": "number of the round",
        "completion_id": "the completion with this text",
        "char_start": "first character of its span in that completion",
        "char_end": "end of that span",
        "raw_text": "as the model wrote it",
        "text": "cleaned of list marks, bold marks and line breaks",
        "parents": "ids of the tasks that the proposal showed, or of the one that it rewrites",
        "is_classification": "whether it is a classification task, by its words or by the model's "
        "answer",
        "mean_logprob": "nats per token",
        "num_tokens": "number of tokens in the mean",
        "unscored_reason": "why there is no mean",
        "logprob_threshold": "minimum `mean_logprob` in force; null: no threshold yet",
        "novelty_tokenizer": "tokenizer that ROUGE-L used for this text: `rouge` or `unicode`",
        "rouge_l": "ROUGE-L F-measure with the nearest text of the pool; NaN: none is above "
        "`novelty.audit_floor`",
        "neighbour_id": "id of that nearest text",
        "verdict": "`accepted` or `rejected`",
        "reason": "why it was rejected",
        "threshold": "limit that the deciding rule compared with",
        "cut": "chat before or after it that was cut off; null: none",
        "template": "in an import, the template that made it; null: a model wrote it",
        "source_id": "the passage that it is about (`inputs/passages.jsonl`); null: none",
        "operation": "how it was rewritten ([styles](styles.md)); null: it is no rewriting",
        "input": "the input that was proposed with it; null: its style proposes none",
        "input_char_start": "first character of the span of that input; null: it has none",
        "input_char_end": "end of that span",
        "constraints": "constraints on the output (`text` ends with them); null: none",
        "constraints_char_start": "first character of their span; null: it has none",
        "constraints_char_end": "end of that span",
    },
    "instances.parquet": {
        "id": "of the instance",
        "instruction_id": "its instruction",
        "round": "number of the round",
        "completion_id": "the completion with this text",
        "input_char_start": "first character of the span of the input; 0 if there is none",
        "input_char_end": "end of that span; 0 if there is no input",
        "output_char_start": "first character of the span of the output",
        "output_char_end": "end of that span",
        "input": "the input, or nothing",
        "output": "the output",
        "input_logprob": "nats per token of the input",
        "output_logprob": "nats per token of the output",
        "mean_logprob": "same as `output_logprob`; the likelihood rule uses it",
        "num_tokens": "tokens of the output",
        "unscored_reason": "why there is no mean",
        "kind": "`output`, or `label` if it was written before its input (classification)",
        "logprob_threshold": "minimum `mean_logprob` in force; null: no threshold yet",
        "conditional_gain": "by how many nats per token the task makes the output more likely; "
        "null: not computed",
        "gain_unscored_reason": "why there is no gain",
        "verdict": "`accepted` or `rejected`",
        "reason": "why it was rejected",
        "threshold": "limit that the deciding rule compared with",
        "answer_to": "for an answer of another model, the id of the instance that it answers",
        "cut": "chat around it that was cut off, such as “Sure, here is …:”; null: none",
        "template": "in an import, the template that made it; null: a model wrote it",
        "source_id": "the row of the data that it was made from, or the passage that it is about",
        "shown": "in an import, the rows shown as examples in its input",
    },
    JUDGEMENTS: {
        "id": "of the judgement",
        "instance_id": "the instance that is judged",
        "instruction_id": "its instruction",
        "round": "round of the instruction",
        "score": "share of `yes`, or the number from 1 to 5; NaN: a reply cannot be read",
        "answers": "what was read in each reply: `yes`, `no`, a number, or nothing",
        "reasons": "the rest of each reply",
    },
    ANSWER_COLUMNS: {
        "final_answer": "of `answer --votes` or `--rationale`: the answer after its rationale, or "
        "the whole of a short one; null: none can be read",
        "agreement": "share of the votes that this final answer has; null: no vote",
        "votes": "number of completions that voted",
        "hinted": "whether the prompt gave the known answer as a hint; null: not a rationale",
    },
    "conversations.parquet": {
        "id": "of the conversation",
        "instruction_id": "the instruction that opens it",
        "instance_id": "the instance that opens it",
        "round": "round of the instruction",
        "opened_by": "who accepted the task: the `rules`, or a `person`",
        "rouge_l": "novelty of the instruction; NaN: no similar text",
        "neighbour_id": "the nearest text",
        "exchanges": "number of exchanges that are kept, including the first; 0 if it is rejected",
        "ended": "why it ended: `turns` (it reached `--turns`), `no_room` (the context is full), "
        "or the reason of the last turn",
        "verdict": "`accepted` or `rejected`",
        "reason": "why it was rejected",
    },
    "turns.parquet": {
        "id": "of the turn",
        "chat_id": "its conversation",
        "number": "its place, from 0; 0 and 1 are the task and its output",
        "role": "`user` or `assistant`",
        "completion_id": "the completion with this text; null: it comes from the task",
        "char_start": "first character of its span in that completion",
        "char_end": "end of that span",
        "text": "the turn",
        "mean_logprob": "nats per token",
        "num_tokens": "number of tokens in the mean",
        "unscored_reason": "why there is no mean",
        "logprob_threshold": "minimum `mean_logprob` in force; null: no threshold yet",
        "shared": "largest overlap of the turn with an earlier one",
        "shared_with": "id of that earlier turn",
        "verdict": "`accepted` or `rejected`",
        "reason": "why it was rejected",
        "threshold": "limit that the deciding rule compared with",
        "cut": "chat around it that was cut off; null: none",
    },
    "revisions.parquet": {
        "id": "of the draft or revision",
        "series_id": "its series: a draft and its revisions",
        "number": "its step; 0 is the draft",
        "instruction_id": "the instruction of the task",
        "instance_id": "the instance whose output is revised; null: the task has no output",
        "round": "round of the instruction",
        "instruction": "text of the instruction, with people's edits",
        "input": "input of the task",
        "principle": "name of the principle; null for a draft",
        "draft": "the text that this step revises; null for a draft",
        "critique": "what the model said about that text",
        "critique_id": "the completion with the critique",
        "completion_id": "the completion with this text; null: a draft that the run had, or no "
        "revision was asked for",
        "char_start": "first character of its span in that completion",
        "char_end": "end of that span",
        "text": "the draft or revision",
        "mean_logprob": "nats per token",
        "num_tokens": "number of tokens in the mean",
        "unscored_reason": "why there is no mean",
        "verdict": "`accepted` or `rejected`",
        "reason": "why it was rejected",
        "threshold": "limit that the deciding rule compared with",
        "cut": "chat around it that was cut off; null: none",
    },
}


def template_table() -> str:
    """Return a table of the template files that are shipped, and of their forms."""
    lines = [
        "| `--template` | what it is | wordings | inverted | with reasons |",
        "|---|---|---:|---:|---:|",
    ]
    for one in shipped_templates():
        wordings = one.content.templates
        counts = (
            len(wordings),
            sum(wording.inverted is not None for wording in wordings),
            sum(wording.rationale is not None for wording in wordings),
        )
        cells = " | ".join(map(str, counts))
        lines.append(f"| `{one.content.name}` | {one.content.about} | {cells} |")
    return "\n".join(lines) + "\n"


def column_tables() -> str:
    """Return a table for each file of a round, in the order of its columns."""
    schemas = {
        "calibration.parquet": schema.CALIBRATION,
        "completions.parquet": schema.COMPLETIONS,
        "instructions.parquet": schema.INSTRUCTIONS,
        "instances.parquet": schema.INSTANCES,
        ANSWER_COLUMNS: schema.ANSWER_COLUMNS,
        JUDGEMENTS: judgement_table.JUDGEMENTS,
        CHATS: chat_tables.CONVERSATIONS,
        TURNS: chat_tables.TURNS,
        REVISIONS: revision_table.REVISIONS,
    }
    parts = []
    for file, columns in schemas.items():
        lines = [f"**{file}**", "", "| column | type | |", "|---|---|---|"]
        lines += [f"| `{c.name}` | {c.type} | {COLUMNS[file][c.name]} |" for c in columns]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def room_table() -> str:
    """Return a table of the folders and files of the package, lowest first, by what they say."""
    sys.path.insert(0, str(ROOT))
    from tests.test_imports import TIERS

    lines = ["| tier | room | what it is |", "|---:|---|---|"]
    for number, names in enumerate(TIERS, start=1):
        for name in sorted(names - {"__main__"}):
            folder = ROOT / "selfinstruct" / name
            file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
            says = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            lines.append(f"| {number} | `{name}` | {says.splitlines()[0]} |")
    return "\n".join(lines) + "\n"


def throughput(name: str) -> str:
    """Return a table of `scripts/bench_generate.py docs/throughput.json`, and its machine.

    Args:
        name: of the table: `table` has all, `short` the ratios.
    """
    path = ROOT / "docs" / "throughput.json"
    if not path.is_file():
        return "Not measured yet.\n"
    report = json.loads(path.read_text(encoding="utf-8"))
    return f"{report[name]}\nMeasured on {report['measured']}.\n"


_COUNTS = {
    "injected": "injected",
    "lost": "lost",
    "silent": "silent",
    "tracebacks": "tracebacks",
    "refused": "stuck",
}
_PARTS = {
    "kills": "kills and power cuts",
    "disk": "disk errors",
    "damages": "damaged files",
    "completions": "hostile completions",
    "engine": "runs with a faulty engine",
    "together": "several processes on one run",
}


# Parts whose faults each have exactly one result; a row of the report keeps the most frequent four.
_SEEN_ONCE = ("kills", "disk", "damages")


def reliability() -> list[str]:
    """Return the tables of `scripts/fault_report.py`, each after its name."""
    path = ROOT / "docs" / "reliability.json"
    if not path.is_file():
        return [text for name in ("summary", *_PARTS) for text in (name, "Not measured yet.\n")]
    report = json.loads(path.read_text(encoding="utf-8"))
    lines = [f"| fault | {' | '.join(_COUNTS.values())} |", f"|---|{'---:|' * len(_COUNTS)}"]
    tables = []
    for name, title in _PARTS.items():
        part = report["parts"].get(name)
        if part is None:
            tables += [name, "Not measured yet.\n"]
            continue
        lines.append(f"| {title} | {_counted(part['total'])} |")
        rows = [f"| | {' | '.join(_COUNTS.values())} | what the user saw (cases) |"]
        rows.append(f"|---|{'---:|' * len(_COUNTS)}---|")
        for row in part["rows"]:
            others = row["injected"] - sum(row["saw"].values())
            kept = row["saw"] | ({"other": others} if others > 0 and name in _SEEN_ONCE else {})
            saw = "; ".join(f"{what} ({count:,})" for what, count in kept.items())
            rows.append(f"| {row['name']} | {_counted(row)} | {saw.replace('|', '/')} |")
        tables += [name, "\n".join(rows) + "\n"]
    summary = "\n".join(lines) + f"\n\nMeasured on {report['machine']}.\n"
    return ["summary", summary, *tables]


def _counted(counts: dict[str, int]) -> str:
    return " | ".join(f"{counts[name]:,}" for name in _COUNTS)


def style_table() -> str:
    lines = ["| style | what a prompt for new tasks shows | source |", "|---|---|---|"]
    lines += [f"| `{one.name}` | {one.help} | {one.source} |" for one in STYLES.values()]
    return "\n".join(lines) + "\n"


def operation_table() -> str:
    lines = ["| operation | the new task |", "|---|---|"]
    lines += [f"| `{one.name}` | {one.help} |" for one in OPERATIONS]
    return "\n".join(lines) + "\n"


def marked(path: Path, *parts: str) -> str:
    """Return a file's text with new content between marks: a name, its content, and so on."""
    text = path.read_text(encoding="utf-8")
    for name, content in zip(parts[::2], parts[1::2], strict=True):
        marks = re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = marks.sub(lambda m, new=content: m.group(1) + new + m.group(2), text)  # type: ignore[misc]
    return text


def generated() -> dict[Path, str]:
    """Return the files that have generated parts, as they should be."""
    readme, docs = ROOT / "README.md", ROOT / "docs"
    run, engine, rules = docs / "run.md", docs / "engine.md", docs / "rules.md"
    training, evaluation = docs / "training.md", docs / "evaluation.md"
    guide = ROOT / ".github" / "CONTRIBUTING.md"
    preferences = docs / "preferences.md"
    data = docs / "data.md"
    imports = docs / "import.md"
    faults = docs / "reliability.md"
    reference = docs / "reference"
    page = marked(
        readme,
        *("quality", quality_table()),
        *("exports", export_table(is_short=True)),
        *("throughput", throughput("short")),
    )
    return {
        data: marked(
            data, "data-formats", data_format_table(), "data-commands", data_command_table()
        ),
        docs / "config.md": CONFIG_INTRO + config_table(),
        readme: page,
        docs / "index.md": index_page(page),
        docs / "presets.md": marked(docs / "presets.md", "presets", preset_table()),
        reference / "commands.md": commands_page(),
        reference / "reasons.md": reasons_page(),
        reference / "formats.md": formats_page(),
        reference / "python.md": python_page(),
        reference / "rest.md": rest_page(),
        run: marked(run, "columns", column_tables()),
        rules: marked(
            rules,
            *("instructions", rule_table(Of.INSTRUCTION), "instances", rule_table(Of.INSTANCE)),
            *("turns", chat_rule_table(Of.TURN), "chats", chat_rule_table(Of.CHAT)),
            *("revisions", chat_rule_table(Of.REVISION)),
        ),
        engine: marked(engine, "engines", engine_table(), "throughput", throughput("table")),
        training: marked(training, "formats", format_table(), "trainers", trainer_table()),
        evaluation: marked(evaluation, "checks", check_table()),
        guide: marked(guide, "rooms", room_table()),
        preferences: marked(preferences, "labellers", labeller_table()),
        imports: marked(imports, "templates", template_table()),
        docs / "align.md": marked(docs / "align.md", "methods", method_table()),
        docs / "styles.md": marked(
            docs / "styles.md", "styles", style_table(), "operations", operation_table()
        ),
        docs / "rl.md": marked(docs / "rl.md", "rewards", reward_table()),
        faults: marked(faults, *reliability()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args().check
    stale = 0
    for path, text in generated().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale = 1
        if check:
            print(f"{path} is stale: run scripts/make_docs.py", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main())
