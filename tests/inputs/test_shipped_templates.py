"""The shipped templates: rules accept every wording, no two are near, rows become tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.records import ACCEPTED
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.rule import InstructionFacts, Of, When, first_failure
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.inputs.task_forms import INVERTED, RATIONALE, TaskForm, forms_of
from selfinstruct.inputs.task_plan import Mixture
from selfinstruct.inputs.task_templates import read_templates, shipped_names
from selfinstruct.verdicts.import_request import Import
from selfinstruct.verdicts.importing import import_dataset
from selfinstruct.verdicts.pool import first_index

# Four rows of our own wording for each file.
ROWS: dict[str, list[dict[str, Any]]] = {
    "grammar": [
        {"text": wrong, "corrected": right, "rationale": why}
        for wrong, right, why in (
            ("She go to work by tram.", "She goes to work by tram.", "The verb needs an s."),
            ("I have saw the sea.", "I have seen the sea.", "After have comes the participle."),
            ("Their is no milk left.", "There is no milk left.", "Their shows possession."),
            ("He is more taller than me.", "He is taller than me.", "Taller is comparative."),
        )
    ],
    "nli": [
        {"premise": premise, "hypothesis": hypothesis, "label": label, "rationale": why}
        for premise, hypothesis, label, why in (
            ("A man mends a bicycle in the rain.", "The man is outdoors.", 0, "It rains on him."),
            ("Two girls share an umbrella.", "The girls are sisters.", 1, "Friends share, too."),
            ("Nobody came to the lecture.", "The room was crowded.", 2, "Nobody is no crowd."),
            ("A dog sleeps under the desk.", "An animal rests.", 0, "A dog is an animal."),
        )
    ],
    "paraphrase": [
        {"sentence1": first, "sentence2": second, "label": label}
        for first, second, label in (
            ("The shop opens at nine.", "At nine the shop is opened.", 1),
            ("The shop opens at nine.", "The shop closes at nine.", 0),
            ("Rain is expected all day.", "It will probably rain the whole day.", 1),
            ("He sold his car to a friend.", "A friend sold him a car.", 0),
        )
    ],
    "qa": [
        {"context": context, "question": question, "answer": answer, "rationale": why}
        for context, question, answer, why in (
            (
                "The mill was built in 1820 and burned down in 1904.",
                "When did the fire destroy the mill?",
                "In 1904.",
                "The passage says that it burned down in 1904.",
            ),
            (
                "Otters eat fish, crabs and sometimes frogs.",
                "What do otters eat besides fish and frogs?",
                "Crabs.",
                "Three foods are listed, and two of them are excluded.",
            ),
            (
                "The ferry leaves every hour from the north pier.",
                "Where can passengers board the ferry?",
                "At the north pier.",
                "It leaves from there.",
            ),
            (
                "Ada wrote the letter, but her brother posted it.",
                "Who carried the letter to the post office?",
                "Her brother.",
                "He posted it.",
            ),
        )
    ],
    "reasoning": [
        {"question": question, "answer": answer, "rationale": why}
        for question, answer, why in (
            (
                "Tom has 3 bags with 4 apples each. How many apples has he?",
                "12",
                "3 times 4 is 12.",
            ),
            (
                "A train leaves at 9:40 and takes 35 minutes. When does it come?",
                "10:15",
                "20 minutes lead to ten, 15 remain.",
            ),
            (
                "Half of the 18 pupils cycle to school. How many do not?",
                "9",
                "Half of 18 is 9, and 18 minus 9 is 9.",
            ),
            (
                "Eva reads 12 pages a day. How long do 60 pages last?",
                "5 days",
                "60 divided by 12 is 5.",
            ),
        )
    ],
    "sentiment": [
        {"text": text, "label": label, "rationale": why}
        for text, label, why in (
            ("The soup was hot and the staff remembered my name.", 1, "Both are praise."),
            ("These boots kept my feet dry all winter long.", 1, "They did their work."),
            ("The zip broke on the third day of the trip.", 0, "It broke at once."),
            ("We waited two hours and still have no refund.", 0, "They waited for nothing."),
        )
    ],
    "summarisation": [
        {"text": text, "summary": summary}
        for text, summary in (
            (
                "The library closes in May for two weeks. New lamps are put in, and the heating is "
                "repaired. Books can be left in the box outside.",
                "The library closes for repairs in May, but takes books back.",
            ),
            (
                "Bees find their way by the sun. When clouds hide it, they use the light "
                "of the patches of blue sky that are left.",
                "Bees navigate by the sun or by the light of the sky.",
            ),
            (
                "The town council met on Monday. It voted for a new bridge, which will cost four "
                "million, and against a tax on dogs.",
                "The council approved a bridge and refused a dog tax.",
            ),
            (
                "Bread rises since yeast makes gas. The dough holds the gas, as its flour forms an "
                "elastic net when it is kneaded.",
                "Yeast makes gas, which kneaded dough can hold.",
            ),
        )
    ],
    "topic": [
        {"text": text, "label": label}
        for text, label in (
            ("The striker scored twice before the break, and the home side held on.", "sports"),
            ("The central bank raised its rate for the third time this year.", "business"),
            ("Two telescopes have seen water vapour around a distant planet.", "science"),
            ("Parliament will vote on the new border treaty next week.", "politics"),
        )
    ],
    "translation": [
        {"text": text, "translation": translation, "language": "German"}
        for text, translation in (
            ("The train is late today.", "Der Zug hat heute Verspätung."),
            ("I would like a glass of water.", "Ich hätte gern ein Glas Wasser."),
            ("Where can I buy fresh bread?", "Wo kann ich frisches Brot kaufen?"),
            ("It has been raining since noon.", "Seit Mittag regnet es."),
        )
    ],
}


def forms(name: str) -> list[TaskForm]:
    return forms_of(read_templates(name), None, None)


def fixed(form: TaskForm) -> bool:
    """Whether its instruction is the same for every row."""
    return "{{" not in form.texts.instruction


def test_nine_classic_tasks_are_shipped_each_in_several_wordings() -> None:
    assert shipped_names() == sorted(ROWS)
    for name in shipped_names():
        kinds = [form.kind for form in forms(name)]
        assert INVERTED in kinds
        assert len(kinds) - kinds.count(INVERTED) - kinds.count(RATIONALE) >= 3
    assert sum(RATIONALE in [form.kind for form in forms(name)] for name in ROWS) >= 4


def test_the_rules_accept_every_wording_and_no_two_are_near() -> None:
    config = RunConfig()
    rules = [r for r in rules_in_force(Of.INSTRUCTION, config.rules_version) if r.when is When.TEXT]
    index = first_index([], config)
    for name in shipped_names():
        for form in filter(fixed, forms(name)):
            text = form.texts.instruction
            assert first_failure(rules, InstructionFacts(text), config) is None, form.name
            assert index.nearest(text) is None, form.name
            index.add(form.name, text)


@pytest.mark.parametrize("name", sorted(ROWS))
@pytest.mark.parametrize("examples", [0, 2])
def test_every_form_of_every_row_is_a_task(tmp_path: Path, name: str, examples: int) -> None:
    """With four short rows and all forms; where the row is in the instruction it may be near."""
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS[name]), encoding="utf-8")
    what = Import(str(data), [name], Mixture(per_row=None, examples={examples: 1.0}))
    run = import_dataset(what, tmp_path / "run").run
    kept = {form.name: form for form in forms(name)}
    rejected = []
    for row in run.instances(0):
        form = kept[row.template or ""]
        task = next(one for one in run.instructions(0) if one.id == row.instruction_id)
        assert row.shown == () or len(row.shown) == examples, row.template
        if row.verdict != ACCEPTED and not (task.reason == "not_novel" and not fixed(form)):
            rejected.append((row.template, row.reason, task.reason, row.input, row.output))
    assert rejected == []
    assert len(run.instances(0)) == 4 * len(kept)
