"""What commands want of data, as one list, and what each says of a row that it cannot use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.formats import FORMATS
from selfinstruct.inputs.formats.base import Format, Kind

_KINDS = {format.name: format.kind for format in FORMATS}

_PAIRS = (
    "pairs are for `train dpo`, `train reward` and `train kto`; `train sft --field chosen` "
    "imitates the chosen answers"
)
_RANKED = "ranked answers are for `train reward --ranked`"
_JUDGED = "do not train on an answer that a person did not like"
_CHOICES = (
    "questions with choices are for `evaluate --choices`; leave the choices out with "
    "--columns choices= (options=, endings=) to use the question and its answer alone"
)


def kind_of(row: DataRow) -> Kind:
    """Return what a row is, by its format."""
    return _KINDS[row.format]


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a command reads data for.

    Attributes:
        option: of the command, as the docs show it.
        row: what it calls a row.
        takes: the kinds of rows that it can use.
        refuses: why it cannot use the others.
        advice: what to give it.
        part: what it uses of a row that has more, by kind, for the docs.
        tools: whether it shows a model the functions that a row lets it call.
        with_column: formats that it can use where a row has this column, too.
    """

    option: str
    row: str
    takes: frozenset[Kind]
    refuses: Mapping[Kind, str]
    advice: str
    part: Mapping[Kind, str]
    tools: bool = False
    with_column: Mapping[str, str] = field(default_factory=dict)

    def fits(self, format: Format) -> bool:
        return format.kind in self.takes

    def check(self, row: DataRow) -> None:
        """Refuse a row of a kind that the command cannot use.

        Raises:
            BadRowError: says which kind, and which command takes it.
        """
        kind = kind_of(row)
        if kind in self.takes or self.with_column.get(row.format) in row.columns:
            if row.tools and not self.tools:
                raise BadRowError(
                    row.where,
                    f'"tools" names functions that the model may call, which {self.option} cannot '
                    "use; leave the column out with --columns tools=, or give rows without it",
                    "tools: not used",
                )
            return
        raise BadRowError(
            row.where,
            f"is read as {row.format} ({kind}), which {self.option} cannot use: "
            f"{self.refuses[kind]}",
            f"{row.format}: {kind}",
        )


_TEXTS = "there is no answer to learn"
_ALL = frozenset(Kind)
_PROMPTS = {
    Kind.PAIRS: "prompt",
    Kind.RANKED: "prompt",
    Kind.LABELS: "prompt",
}

SEEDS = Purpose(
    option="--seeds",
    row="seed task",
    takes=frozenset({Kind.TASKS, Kind.TEXTS}),
    refuses={
        Kind.PAIRS: _PAIRS,
        Kind.RANKED: _RANKED,
        Kind.LABELS: _JUDGED,
        Kind.CHOICES: _CHOICES,
    },
    advice="write one JSON object per line",
    part={Kind.TEXTS: "no example"},
)
AVOID = Purpose(
    option="--avoid",
    row="text",
    takes=_ALL,
    refuses={},
    advice="write one per line, or leave out --avoid",
    part={kind: "prompt" for kind in Kind if kind is not Kind.TEXTS},
)
TOPICS = Purpose(
    option="--topics",
    row="text",
    takes=frozenset({Kind.TASKS, Kind.TEXTS}),
    refuses=dict.fromkeys(Kind, "topics are texts, one per line"),
    advice="write one topic per line, or leave out --topics",
    part={Kind.TASKS: "prompt"},
)
SFT = Purpose(
    option="train sft",
    row="task to train on",
    takes=frozenset({Kind.TASKS}),
    refuses={
        Kind.TEXTS: _TEXTS,
        Kind.PAIRS: _PAIRS,
        Kind.RANKED: _RANKED,
        Kind.LABELS: f"{_JUDGED}; leave those out, and the column with them",
        Kind.CHOICES: _CHOICES,
    },
    advice="give tasks with answers",
    part={},
    tools=True,
)
DPO = Purpose(
    option="train dpo",
    row="pair",
    takes=frozenset({Kind.PAIRS}),
    refuses={
        Kind.TASKS: "it learns from a better and a worse answer; make them with `prefer`",
        Kind.TEXTS: "it learns from a better and a worse answer; make them with `prefer`",
        Kind.RANKED: _RANKED,
        Kind.LABELS: "single judgements are not pairs; `train kto` learns from them",
        Kind.CHOICES: _CHOICES,
    },
    advice="give one {prompt, chosen, rejected} per row",
    part={},
    tools=True,
)
REWARD = Purpose(
    option="train reward",
    row="pair",
    takes=frozenset({Kind.PAIRS}),
    refuses={**DPO.refuses, Kind.RANKED: "ranked answers need --ranked"},
    advice="give one {prompt, chosen, rejected} per row",
    part={},
)
# Each of a pair's answers is one that was liked, or one that was not.
KTO = Purpose(
    option="train kto",
    row="answer with a label",
    takes=frozenset({Kind.LABELS, Kind.PAIRS}),
    refuses={
        Kind.TASKS: "nothing says whether the answer was liked; give a column `label`",
        Kind.TEXTS: "there is no answer, and nothing says whether it was liked",
        Kind.RANKED: _RANKED,
        Kind.CHOICES: _CHOICES,
    },
    advice="give one {prompt, completion, label} per row",
    part={},
)
SFT_CHOSEN = replace(
    DPO,
    option="train sft --field chosen",
    refuses={
        **DPO.refuses,
        Kind.TASKS: "its rows have one answer each; leave --field out",
        Kind.TEXTS: _TEXTS,
        Kind.LABELS: _JUDGED,
    },
)
CHECKS = replace(REWARD, option="train reward --check", row="check")
REWARD_RANKED = Purpose(
    option="train reward --ranked",
    row="ranked answers",
    takes=frozenset({Kind.RANKED}),
    refuses={**DPO.refuses, Kind.PAIRS: "these are pairs; leave --ranked out"},
    advice="give one {prompt, ranked} per row",
    part={},
)
# The scores are further columns of formats that commands know.
REWARD_SCORED = Purpose(
    option="train reward --loss regression",
    row="answer with a score",
    takes=frozenset({Kind.TASKS, Kind.PAIRS, Kind.RANKED}),
    refuses={
        Kind.TEXTS: "there is no answer to score",
        Kind.LABELS: "a label is no score; `train kto` learns from labels",
        Kind.CHOICES: _CHOICES,
    },
    advice="give one {prompt, completion, score} per row",
    part=dict.fromkeys((Kind.TASKS, Kind.PAIRS, Kind.RANKED), "with scores"),
)
PREFER = Purpose(
    option="prefer",
    row="task to answer",
    takes=_ALL - {Kind.CHOICES},
    refuses={Kind.CHOICES: _CHOICES},
    advice="give tasks or prompts",
    part=_PROMPTS,
)
BEST_OF = replace(PREFER, option="best-of")
RL = replace(PREFER, option="train rl")
DISTILL = replace(PREFER, option="train distill")
EVALUATE = Purpose(
    option="evaluate --tasks",
    row="task",
    takes=frozenset({Kind.TASKS}),
    refuses={
        Kind.TEXTS: "there is no reference answer to compare with; give one, or a column `expect`",
        Kind.PAIRS: _PAIRS,
        Kind.RANKED: _RANKED,
        Kind.LABELS: "a judged answer is not a reference; give tasks with answers",
        Kind.CHOICES: _CHOICES,
    },
    advice="check --tasks",
    part={},
    with_column={"texts": "expect", "choices": "reference"},
)
EVALUATE_CHOICES = Purpose(
    option="evaluate --choices",
    row="question with choices",
    takes=frozenset({Kind.CHOICES}),
    refuses=dict.fromkeys(Kind, "there are no choices; give a text, a list of them and a label"),
    advice="give one {question, choices, answer} or {context, endings, label} per row",
    part={},
)
EVALUATE_PAIRS = Purpose(
    option="evaluate --pairs",
    row="pair",
    takes=frozenset({Kind.PAIRS}),
    refuses=dict.fromkeys(Kind, "it ranks a better and a worse answer to one prompt"),
    advice="give one {prompt, chosen, rejected} per row",
    part={},
)

DECONTAMINATE = replace(
    AVOID,
    option="train sft --decontaminate",
    row="task",
    advice="check --decontaminate",
)

PURPOSES = (
    *(
        SEEDS,
        TOPICS,
        AVOID,
        SFT,
        SFT_CHOSEN,
        DECONTAMINATE,
        DPO,
        KTO,
        REWARD,
        REWARD_RANKED,
        REWARD_SCORED,
        CHECKS,
        RL,
        DISTILL,
    ),
    *(PREFER, BEST_OF, EVALUATE, EVALUATE_CHOICES, EVALUATE_PAIRS),
)
