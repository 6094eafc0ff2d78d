"""The formats of an export, as one list: a new format is one more member of `Format`.

The choices of the command line and of the service, and the table in the docs, come from it. The
command line reads it for `--help`, so nothing heavy is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

    from selfinstruct.dataset.reasoning import ReasonedRow
    from selfinstruct.dataset.rows import ExportRow
    from selfinstruct.prompts import PromptLibrary

T = TypeVar("T")

# What stands before and after the thinking of an answer.
_THINK, _THOUGHT = "<think>\n", "\n</think>\n\n"

_TOGETHER = 1000  # rows that are written at a time

# Yields a file's content in parts; the run's own prompts are for formats that write the whole
# prompt, and the flag says whether a row has later turns: a reader takes the columns of the first
# rows for those of all.
Content = Callable[[Iterable["ExportRow"], "PromptLibrary", bool], Iterator[bytes]]


def _lines(write: Callable[[ExportRow, PromptLibrary], dict[str, Any]]) -> Content:
    """Return a function that writes rows as JSON lines, one object per row."""

    def content(
        rows: Iterable[ExportRow], prompts: PromptLibrary, _with_turns: bool
    ) -> Iterator[bytes]:
        return _written(write(row, prompts) for row in rows)

    return content


def _written(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for together in _batches(rows):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in together)
        yield "".join(lines).encode("utf-8")


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    whole = iter(rows)
    while together := list(islice(whole, _TOGETHER)):
        yield together


def _messages(row: ExportRow, _: PromptLibrary) -> dict[str, Any]:
    return {"messages": [*_prompt_turns(row), _answer_turn(row), *map(dict, row.turns)]}


def _chat_completion(row: ExportRow, _: PromptLibrary) -> dict[str, Any]:
    return {"prompt": _prompt_turns(row), "completion": [_answer_turn(row)]}


def _pair(row: ExportRow, _: PromptLibrary) -> dict[str, Any]:
    """Return a revision as the better answer than its draft, in TRL's explicit form."""
    rejected = {"role": "assistant", "content": row.draft}
    return {
        "prompt": _prompt_turns(row),
        "chosen": [_answer_turn(row)],
        "rejected": [rejected],
        "id": row.id,
    }


# What `export --as-pairs` writes; each row is a revision.
PAIRS: Content = _lines(_pair)


def _prompt_turns(row: ExportRow) -> list[dict[str, str]]:
    text = _system(row)
    system = [{"role": "system", "content": text}] if text else []
    return [*system, {"role": "user", "content": _user_text(row)}]


def _answer_turn(row: ExportRow) -> dict[str, str]:
    return {"role": "assistant", "content": _answer(row)}


def _prompt_completion(row: ExportRow, prompts: PromptLibrary) -> dict[str, Any]:
    prompt = prompts.text("task.jinja", instruction=row.instruction, input=row.input)
    text = _system(row)
    system = f"{text}\n\n" if text else ""
    return {"prompt": f"{system}{prompt}", "completion": _answer(row)}


def _alpaca(rows: Iterable[ExportRow], _: PromptLibrary, with_turns: bool) -> Iterator[bytes]:
    return _written(_alpaca_row(row, with_turns) for row in rows)


def _alpaca_row(row: ExportRow, with_history: bool) -> dict[str, Any]:
    """Return a row of alpaca; of a conversation, the last exchange with those before it."""
    fields: dict[str, Any]
    fields = {"instruction": row.instruction, "input": row.input, "output": row.output}
    reasoning = row.reasoning if _is_reasoned(row) else None
    history: list[list[str]] = []
    if row.turns:
        said = [_user_text(row), _answer(row), *(turn["content"] for turn in row.turns)]
        history = [[*pair] for pair in zip(said[:-2:2], said[1:-2:2], strict=True)]
        output = said[-1]
        if _is_reasoned(row):
            reasoning, output = without_thinking(output)
        fields = {"instruction": said[-2], "input": "", "output": output}
    if with_history:
        fields["history"] = history
    if system := _system(row):
        fields = {"system": system, **fields}
    return {**fields, "reasoning": reasoning} if _is_reasoned(row) else fields


def _sharegpt(row: ExportRow, _: PromptLibrary) -> dict[str, Any]:
    text = _system(row)
    system = [{"from": "system", "value": text}] if text else []
    return {
        "conversations": [
            *system,
            {"from": "human", "value": _user_text(row)},
            {"from": "gpt", "value": _answer(row)},
            *(
                {"from": _SHAREGPT_ROLES[turn["role"]], "value": turn["content"]}
                for turn in row.turns
            ),
        ]
    }


_SHAREGPT_ROLES = {"user": "human", "assistant": "gpt"}


# Of the format `parquet`, in their order.
COLUMNS = [
    *("id", "instruction_id", "instruction", "input", "output", "is_classification", "round"),
    *("mean_logprob", "rouge_l", "override"),
]


def _parquet(rows: Iterable[ExportRow], _: PromptLibrary, with_turns: bool) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # One table, since the groups of rows in the file are not to depend on how it was made.
    tables = [_table(together, with_turns) for together in _batches(rows)]
    if not tables:
        tables = [_table([], with_turns)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables).combine_chunks(), sink, compression="zstd")
    yield sink.getvalue().to_pybytes()


def _table(rows: Sequence[ExportRow], with_turns: bool) -> pa.Table:
    import pyarrow as pa

    types = {"is_classification": pa.bool_(), "round": pa.int32()}
    types |= {"mean_logprob": pa.float64(), "rouge_l": pa.float64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    if rows and _system(rows[0]):
        schema = schema.append(pa.field("system", pa.string()))
    if rows and _is_reasoned(rows[0]):
        schema = schema.append(pa.field("reasoning", pa.string()))
    names = list(schema.names)
    if with_turns:
        turn = pa.struct([("role", pa.string()), ("content", pa.string())])
        schema = schema.append(pa.field("messages", pa.list_(turn)))
    return pa.Table.from_pylist(
        [
            {**{name: getattr(row, name) for name in names}, "messages": _conversation(row)}
            for row in rows
        ],
        schema=schema,
    )


def _conversation(row: ExportRow) -> list[dict[str, Any]] | None:
    """Return the turns of a row that has more than one exchange, without its system prompt."""
    if not row.turns:
        return None
    user = {"role": "user", "content": _user_text(row)}
    return [user, _answer_turn(row), *map(dict, row.turns)]


def _is_reasoned(row: ExportRow) -> TypeGuard[ReasonedRow]:
    """Whether the export was asked to keep the model's thinking (`--reasoning`)."""
    from selfinstruct.dataset.reasoning import ReasonedRow

    return isinstance(row, ReasonedRow)


def _system(row: ExportRow) -> str | None:
    """Return the system prompt that the export was asked to write, if it was."""
    from selfinstruct.dataset.rows import PromptedRow

    return row.system if isinstance(row, PromptedRow) else None


def _answer(row: ExportRow) -> str:
    """Return the output, with the thinking before it if that was asked for."""
    if not _is_reasoned(row) or row.reasoning is None:
        return row.output
    return with_thinking(row.reasoning, row.output)


def with_thinking(reasoning: str, answer: str) -> str:
    """Return an answer with the thinking before it."""
    return f"{_THINK}{reasoning}{_THOUGHT}{answer}"


def without_thinking(text: str) -> tuple[str | None, str]:
    """Return the thinking that `with_thinking` put before an answer, and the answer."""
    if not text.startswith(_THINK) or _THOUGHT not in text:
        return None, text
    reasoning, _, answer = text.removeprefix(_THINK).partition(_THOUGHT)
    return reasoning, answer


def _user_text(row: ExportRow) -> str:
    from selfinstruct.prompts.canonical import user_text

    return user_text(row.instruction, row.input)


# By a format's suffix: the endings of file names that readers take for it.
ENDINGS = {"jsonl": (".jsonl", ".json", ".ndjson"), "parquet": (".parquet", ".pq")}


class Whole(StrEnum):
    """When a format writes whole conversations."""

    ALWAYS = "always"
    ASKED = "asked"  # its columns change, and whoever reads them has to know
    NEVER = "never"


class Format(StrEnum):
    """A format of exported tasks.

    content: yields the bytes of a file of rows. suffix: of the file. help: what a row holds.
    conversations: whether a row can hold more than one exchange, and does so unasked.
    """

    content: Content
    suffix: str
    help: str
    conversations: Whole

    def __new__(
        cls,
        name: str,
        content: Content,
        suffix: str,
        help: str,
        conversations: Whole = Whole.NEVER,
    ) -> Format:
        if suffix not in ENDINGS:
            raise ValueError(f"{name}: a format is JSON lines or Parquet, not {suffix!r}")
        member = str.__new__(cls, name)
        member._value_ = name
        member.content, member.suffix, member.help = content, suffix, help
        member.conversations = conversations
        return member

    @property
    def endings(self) -> tuple[str, ...]:
        """Endings of a file's name that say that it has this format."""
        return ENDINGS[self.suffix]

    MESSAGES = (
        "messages",
        _lines(_messages),
        "jsonl",
        "`messages`: a turn of the user and one of the assistant, each with `role` and "
        "`content`; if the run has a conversation for the task, all its turns",
        Whole.ALWAYS,
    )
    PROMPT_COMPLETION = (
        "prompt-completion",
        _lines(_prompt_completion),
        "jsonl",
        "`prompt`: the full prompt text for a base model, made with the template `task.jinja`; "
        "`completion`",
    )
    CHAT_COMPLETION = (
        "chat-completion",
        _lines(_chat_completion),
        "jsonl",
        "`prompt`: all turns up to and including the user's; `completion`: the assistant's turn",
    )
    ALPACA = (
        "alpaca",
        _alpaca,
        "jsonl",
        "`instruction`, `input`, `output`; with `--conversations`, the last exchange of a "
        "conversation, and in `history` the earlier exchanges, as pairs of question and answer",
        Whole.ASKED,
    )
    SHAREGPT = (
        "sharegpt",
        _lines(_sharegpt),
        "jsonl",
        "`conversations`: a turn of `human` and one of `gpt`, each with `from` and `value`; if "
        "the run has a conversation for the task, all its turns",
        Whole.ALWAYS,
    )
    PARQUET = (
        "parquet",
        _parquet,
        "parquet",
        "all columns: texts, ids, round, scores, and `override`, what a person decided; "
        "with `--conversations` also `messages`, the turns, if the row is a conversation",
        Whole.ASKED,
    )
