"""What to change where the rules reject many of a user's seeds, or most of what a model writes.

Such a run would go on for hours and give little. The advice is derived from the rules: each names
its keys in the config.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.records import REJECTED, InstructionCandidate, SeedTask
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.outcomes import NO_INSTANCES, OVER_TARGET, PARSE_FAILURE
from selfinstruct.filters.rule import (
    InstructionFacts,
    Of,
    When,
    first_failure,
    has_off_value,
    off_value,
)
from selfinstruct.filters.rules import reasons, rules_in_force
from selfinstruct.prompts.language import languages, read_language
from selfinstruct.verdicts.rulebook import Rulebook

# More than a few seeds: at least so many, and at least this share.
_LEAST_SEEDS, _LEAST_SHARE = 3, 0.05
_MOST_OF_A_ROUND = 0.5
# Longest present value of a key that is worth repeating.
_SHORT = 40

_OTHER_PROMPTING = "try the other --prompting (base or chat), or templates of your own (--prompts)"
# What helps where a key of the config does not, or before it does.
_FIRST = {
    PARSE_FAILURE.reason: f"the model writes no numbered list: {_OTHER_PROMPTING}",
    NO_INSTANCES.reason: "see why: selfinstruct audit list RUN --table instances; "
    f"{_OTHER_PROMPTING}",
    "copies_prompt": f"the model copies the tasks that it is shown: {_OTHER_PROMPTING}",
    "not_novel": f"give more seeds, and more varied ones; {_OTHER_PROMPTING}",
}

# What a text in another language than the run's is rejected for.
_OF_A_LANGUAGE = frozenset(("too_short", "too_long", "wrong_script"))


@dataclass(frozen=True, slots=True)
class Advice:
    """A reason for which many texts are rejected.

    what: the texts, and the verb: `candidates of the first round were`.
    total: how many there are; `count` of them are rejected for the reason.
    example: one of them.
    action: what to do, or an empty text.
    """

    what: str
    reason: str
    count: int
    total: int
    example: str
    action: str

    def __str__(self) -> str:
        meaning = reasons().get(self.reason, "")
        example = " ".join(self.example.split())
        shown = example if len(example) <= 100 else f"{example[:99]}…"
        text = (
            f"{self.count} of {self.total} {self.what} rejected as {self.reason} ({meaning}), "
            f'such as "{shown}"'
        )
        return f"{text}; {self.action}" if self.action else text


def advice_on_seeds(seeds: Sequence[SeedTask], rulebook: Rulebook) -> list[Advice]:
    """Return the rules on instructions that more than a few of the seeds break.

    Tasks like these seeds would be rejected when a model proposes them.
    """
    rules = rulebook.rules(Of.INSTRUCTION, When.TEXT, When.TEXT)
    own_lines = rulebook.prompts.own_lines()
    broken: dict[str, list[str]] = {}
    for seed in seeds:
        facts = InstructionFacts(" ".join(seed.instruction.split()), prompt_lines=own_lines)
        failure = first_failure(rules, facts, rulebook.config)
        if failure is not None:
            broken.setdefault(failure.reason, []).append(seed.instruction)
    what = "seed tasks are of a kind that would be"
    return [
        Advice(
            what, reason, len(texts), len(seeds), texts[0], _action(reason, texts, rulebook.config)
        )
        for reason, texts in sorted(broken.items(), key=lambda item: -len(item[1]))
        if len(texts) >= max(_LEAST_SEEDS, _LEAST_SHARE * len(seeds))
    ]


def advice_on_round(candidates: Sequence[InstructionCandidate], config: RunConfig) -> Advice | None:
    """Return the reason that takes more than half of a round's candidates, if one does."""
    rejected = [
        candidate
        for candidate in candidates
        if candidate.verdict == REJECTED and candidate.reason != OVER_TARGET.reason
    ]
    for reason, count in Counter(str(c.reason) for c in rejected).most_common(1):
        if count > _MOST_OF_A_ROUND * len(candidates):
            texts = [c.text for c in rejected if c.reason == reason]
            what, action = "candidates of the first round were", _action(reason, texts, config)
            return Advice(what, reason, count, len(candidates), texts[0], action)
    return None


def _action(reason: str, texts: Sequence[str], config: RunConfig) -> str:
    """Return what to do about texts rejected for a reason: what helps first, then the keys."""
    keys = [f"--set {text}" for text in _settings(reason, config)]
    first = _FIRST.get(reason, "")
    if reason in _OF_A_LANGUAGE and config.language is None:
        first = _language_of(texts)
    parts = [first, f"to change the rule: {' or '.join(keys)}" if keys else ""]
    return "; ".join(part for part in parts if part)


def _language_of(texts: Sequence[str]) -> str:
    """Return which --language texts want, or what there is for other languages; or nothing."""
    for code in languages():
        language = read_language(code)
        if language.is_used_in(texts):
            return f"they look like {language.name}: a new run with --language {code} has its rules"
    if all(text.isascii() for text in texts):
        return ""
    return (
        f"for another language than English there is --language ({', '.join(languages())}), and "
        "docs/languages.md for the others"
    )


def _settings(reason: str, config: RunConfig) -> Iterator[str]:
    """Yield the keys that decide about a reason, with their present value and how to end it."""
    for rule in rules_in_force(Of.INSTRUCTION, config.rules_version):
        if rule.reason != reason:
            continue
        section = getattr(config, rule.section, None)
        for name, info in rule.limits.model_fields.items():
            present = _shown(getattr(section, name, None))
            ending = f"{_shown(off_value(info))} switches it off" if has_off_value(info) else ""
            notes = ", ".join(note for note in (present and f"now {present}", ending) if note)
            yield f"{rule.section}.{name}=… ({notes})" if notes else f"{rule.section}.{name}=…"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHORT else ""
