"""How long a completion of a megabyte takes from text to verdict: parsed, checked, and compared.

    python scripts/bench_judge.py --characters 1000000

Each text is one piece repeated. It stands for a proposal, for one long task of a list, an answer
or an input. Prints the processor seconds of each version of the rules, the slowest last.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

from selfinstruct.common.records import Completion, Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.values import build_config
from selfinstruct.prompts import load_prompts
from selfinstruct.verdicts.pool import first_standards
from selfinstruct.verdicts.rounds import Verdicts, verdicts_of_round
from selfinstruct.verdicts.rulebook import Rulebook

PIECES = [
    *("Write a poem about the sea. ", "a", " ", "\n", "\n\n ", ". ", "? ", "1. ", "- ", "I ", "世"),
    *("“", '"', "`", "```", "[", "[name ", "<name>", "<a", "{{", "(", "#", "###\n", "a: b\n", "é"),
]
PLACE, TASK = "r00002-p000", "r00002-p000-i00"
POOL = [(f"seed:{n}", f"Write a poem about harbour number {n} at dawn.") for n in range(175)]
LIST = Reading(Form.LIST, first_number=9, continues=True)


def completion(stage: Stage, about: str, reading: Reading, text: str) -> Completion:
    request = Request(f"{about}-{stage}", about, stage, reading, "", SamplingConfig())
    return Completion(request, text, (), None, (), (), "stop", 1)


def judged(version: int, kind: str, text: str) -> Verdicts:
    """Judge one round: a proposal, and for an answer or an input also what follows from it."""
    config = build_config({}, "bench").model_copy(update={"rules_version": version})
    proposal = {"list": text, "task": f" Write about {text}."}.get(kind, " Name three sea birds.")
    asked = [completion(Stage.PROPOSE, PLACE, LIST, proposal)]
    if kind in ("answer", "input"):
        pair = (
            f"Input: a tern{text}\nOutput: It is." if kind == "input" else f"Output: It is {text}"
        )
        asked += [
            completion(Stage.CLASSIFY, TASK, Reading(Form.LABEL), " No"),
            completion(Stage.INSTANCES, TASK, Reading(Form.INPUT_FIRST), pair),
        ]
    standards = first_standards(POOL, config, {})
    return verdicts_of_round(asked, 2, Rulebook(config, load_prompts()), standards, room=9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--characters", type=int, default=1_000_000)
    characters = parser.parse_args().characters
    rows = []
    for version in (1, 2, 3, 4):
        for kind in ("list", "task", "answer", "input"):
            work = partial(judged, version, kind)
            work("a few words")  # compiled, and cached
            for piece in PIECES:
                text = piece * (characters // len(piece))
                started = time.process_time()
                work(text)
                rows.append((time.process_time() - started, version, kind, piece))
    print("| seconds | rules | in | repeated |\n|---:|---:|---|---|")
    for seconds, version, kind, piece in sorted(rows):
        print(f"| {seconds:.3f} | {version} | {kind} | `{piece!r}` |")
    within = sum(seconds < 0.2 for seconds, *_ in rows)
    print(f"\n{within} of {len(rows)} within 0.2 s")


if __name__ == "__main__":
    main()
