"""A folder with a file of every kind: a run with all its commits and decisions, and preferences."""

from __future__ import annotations

from pathlib import Path

from tests.faults.commands import _inputs, become_scripted, cli

RUN, PAIRS = "run", "pairs"


def make_whole(root: Path, seed: int = 0, *, packed: bool = False) -> int:
    """Make a run and preferences in a folder, by commands; return the exit code.

    Args:
        root: a new folder.
        seed: of the run: two of them have the same shape.
        packed: whether its first rounds are compacted.
    """
    from selfinstruct.audit.rating import rate
    from selfinstruct.audit.sample import draw_sample
    from selfinstruct.audit.search import Filter, candidates
    from selfinstruct.decisions.decide import Words, drop, edit, restore
    from selfinstruct.decisions.labels import Rating
    from selfinstruct.store import open_run

    root.mkdir(parents=True)
    become_scripted(root)
    _inputs()
    words = ["generate", "--out", RUN, "--model", "./model", "--prompting", "base"]
    words += ["--seeds", "seeds.jsonl", "--set", "propose.per_round=3"]
    assert cli([*words, "--target", "14", "--seed", str(seed)]) == 0
    if packed:
        assert cli(["compact", RUN]) == 0
        assert cli(["generate", "--out", RUN, "--resume", "--target", "18"]) == 0
    run = open_run(Path(RUN))
    accepted = [row["id"] for row in candidates(run, Filter(verdict="accepted"))]
    drop(run, accepted[0], by="ann")
    edit(run, accepted[1], Words(text="Name two tall trees by the harbour."), by="ann")
    for row in list(candidates(run, Filter(reason="not_novel")))[:2]:
        restore(run, row["id"], by="ann")
    for id in draw_sample(run, 2).ids[:4]:
        rate(run, id, Rating.A, "ann")
    model = ("--model", "./model", "--prompting", "base")
    for more in (
        ("complete", RUN),
        ("answer", RUN, *model),
        ("answer", RUN, *model, "--set", "instances.sampling.max_tokens=90"),
        ("converse", RUN, "--turns", "3"),
        ("prefer", RUN, "--policy", "./model", "--out", PAIRS, "--k", "3", "--held-out", "1"),
    ):
        assert cli(more) == 0, more
    return 0
