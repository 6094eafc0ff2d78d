"""How to ask a model for new tasks: raw text, a turn of its own, or a turn that is opened for it.

    python scripts/study_proposals.py --model MODEL [--proposals 32] [--ways chat,number,list,text]

Every way shows the same seed tasks and is judged by the same rules: those on the text of an
instruction, then novelty. Copies are counted by themselves, whatever the rules say of them. With a
model of half a billion parameters about a minute and a half a way on two CPU cores.
"""

from __future__ import annotations

import argparse
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from selfinstruct.common import ids
from selfinstruct.common.records import (
    Completion,
    Conversation,
    InstructionCandidate,
    Message,
    Prompt,
    Request,
    SeedTask,
    Stage,
)
from selfinstruct.config.propose import ProposeConfig
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.config.values import build_config
from selfinstruct.engines.base import ask_all
from selfinstruct.engines.registry import build_engine
from selfinstruct.inputs.seeds import parse_seeds, read_seed_bytes, shipped_seeds
from selfinstruct.models import resolve_model
from selfinstruct.prompts import load_prompts
from selfinstruct.prompts.reading import reading_of_list
from selfinstruct.verdicts.pool import first_standards
from selfinstruct.verdicts.rounds import check_instructions
from selfinstruct.verdicts.rulebook import Rulebook

# Seed tasks of so many words or more count as held by a candidate that contains them whole.
HELD_WORDS = 4
KIND = (
    "Each new task must differ from all the others in subject and in kind, be complete in "
    "itself, and be something that can be done with text alone. Write only the list; do not "
    "carry out the tasks."
)
SHOWN = (
    "Here are 8 tasks that people give to a capable text assistant:\n\n{numbered}\n\n"
    f"Continue the list with 8 new tasks, numbered 9 to 16, one a line. {KIND}"
)
WANTED = (
    "Write a list of 16 varied tasks that people give to a capable text assistant, numbered 1 to "
    f"16, one a line. {KIND.replace('new task', 'task')}"
)
WAYS = {
    "chat": "tasks in the user's turn, a turn of its own",
    "number": "tasks in the user's turn, the turn opened with “9.”",
    "list": "tasks as the model's own list, opened with “9.”",
    "text": "raw text",
}


def prompt_of(way: str, tasks: Sequence[str]) -> Prompt:
    """Return the prompt of a way for eight tasks."""
    numbered = "\n".join(f"{number}. {task}" for number, task in enumerate(tasks, start=1))
    if way == "text":
        library = load_prompts()
        return library.text("propose.base.jinja", tasks=tasks, list_length=16, domain="", topic="")
    asked = WANTED if way == "list" else SHOWN.format(numbered=numbered)
    opened = {"chat": "", "number": "9.", "list": f"{numbered}\n9."}[way]
    return Conversation((Message(role="user", content=asked),), opened=opened)


def requests_of(way: str, seeds: Sequence[SeedTask], proposals: int) -> list[Request]:
    rng = random.Random(5)
    sampling = ProposeConfig().sampling
    requests = []
    for number in range(proposals):
        shown = rng.sample(list(seeds), 8)
        prompt = prompt_of(way, [" ".join(task.instruction.split()) for task in shown])
        parents = tuple(task.pool_id for task in shown)
        about = ids.proposal(0, number)
        stop = {"chat": (), "text": ("\n\n", "\n17.")}.get(way, ("\n17.",))
        text = prompt if isinstance(prompt, str) else prompt.opened
        requests.append(
            Request(
                id=f"{way}-{about}",
                about=about,
                stage=Stage.PROPOSE,
                reading=reading_of_list(text, parents, continues=bool(text)),
                prompt=prompt,
                sampling=sampling.model_copy(update={"stop": stop}),
                seed=number,
                parents=parents,
            )
        )
    return requests


def plain(text: str) -> str:
    """Return a text as words alone, for comparing."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded))


def row_of(
    completions: Sequence[Completion], seeds: Sequence[SeedTask], rulebook: Rulebook
) -> tuple[dict[str, str], list[InstructionCandidate]]:
    pool = [(seed.pool_id, seed.instruction) for seed in seeds]
    standards = first_standards(pool, rulebook.config, {})
    candidates = check_instructions(completions, 0, rulebook, standards)
    known = {plain(seed.instruction) for seed in seeds}
    held = {text for text in known if len(text.split()) >= HELD_WORDS}
    copies = [c for c in candidates if plain(c.text) in known]
    holds = [
        c
        for c in candidates
        if plain(c.text) not in known and any(f" {t} " in f" {plain(c.text)} " for t in held)
    ]
    bad = {c.id for c in [*copies, *holds]}
    passed = [c for c in candidates if c.verdict is None and c.id not in bad]
    tokens = sum(len(completion.token_ids) for completion in completions)
    openings = {" ".join(plain(c.text).split()[:3]) for c in passed}
    count = max(1, len(candidates))
    reasons = Counter(c.reason for c in candidates if c.reason)
    return {
        "candidates": str(len(candidates)),
        "copies": str(len(copies)),
        "hold a seed": str(len(holds)),
        "pass": str(len(passed)),
        "pass, %": f"{100 * len(passed) / count:.0f}",
        "tokens per passed": f"{tokens / max(1, len(passed)):.0f}",
        "openings": f"{100 * len(openings) / max(1, len(passed)):.0f} %",
        "most frequent reasons": ", ".join(f"{r} {n}" for r, n in reasons.most_common(3)),
    }, passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--proposals", type=int, default=32)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--show", type=int, default=0, help="passed tasks to print of each way")
    options = parser.parse_args()
    path = shipped_seeds()
    seeds = parse_seeds(read_seed_bytes(path), path)
    config = build_config({"likelihood": {"quantile": None, "seed_bound": False}}, "study")
    rulebook = Rulebook(config, load_prompts())
    model = resolve_model(options.model, lambda *_: None)
    model_config = ModelConfig.model_validate({"name": options.model})
    engine = build_engine(model, model_config, EngineConfig())
    ways = options.ways.split(",")
    requests = {way: requests_of(way, seeds, options.proposals) for way in ways}
    engine.start(2048)
    rows, examples = {}, {}
    for way in ways:
        completions = ask_all(engine, requests[way], lambda *_: None)
        rows[way], examples[way] = row_of(completions, seeds, rulebook)
    engine.close()
    table = Table(title=f"{options.model}, {options.proposals} proposals of each way")
    table.add_column("way")
    for column in rows[ways[0]]:
        table.add_column(column, justify="right")
    for way in ways:
        table.add_row(WAYS[way], *rows[way].values())
    console = Console(width=180)
    console.print(table)
    for way in ways:
        for candidate in examples[way][: options.show]:
            console.print(f"{way}: {candidate.text}", markup=False)


if __name__ == "__main__":
    main()
