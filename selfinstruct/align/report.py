"""The report of a chain: a short form of each stage's own, and one table of all models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfinstruct.align.stages import BASE, Stage
from selfinstruct.common.errors import StoreError, why

# What the table has of each model: its quality, and what it lost of plain text (the alignment
# tax, Askell et al. 2021, arXiv:2112.00861), in nats per word.
QUALITY, TAX = "rouge_l", "passage_logprob"
_SFT = "sft"


def chain_report(
    out: Path,
    stages: Sequence[Stage],
    done: Sequence[Mapping[str, Any]],
    curve: Mapping[str, Any] | None = None,
    curve_seconds: float = 0.0,
) -> dict[str, Any]:
    """Return the results of the chain.

    Args:
        out: its folder.
        stages: its commands.
        done: name, words and seconds of each.
        curve: what the policies of its iterations are worth, if there are several.
        curve_seconds: the time that took.

    Raises:
        StoreError: the report of a stage is damaged.
    """
    kinds = {stage.name: stage.step.kind for stage in stages}
    told = {
        stage.name: _json(out / stage.makes)
        for stage in stages
        if stage.step.marks and kinds[stage.name] != "choose"
    }
    evaluation = told["evaluate"]
    seconds = {str(row["name"]): float(row["seconds"]) for row in done}
    report: dict[str, Any] = {
        "stages": list(done),
        "seconds": round(sum(seconds.values()) + curve_seconds, 1),
        "tasks": len((out / "sft.jsonl").read_text(encoding="utf-8").split("\n")) - 1,
        "sft": _some(told["sft"], "train_rows", "validation_rows", "validation_losses"),
        "pairs": {
            name: _some(told[name], "labeller", "pairs", "dropped", "lengths")
            for name, kind in kinds.items()
            if kind == "prefer"
        },
        "health": {
            stage.name: {**own["health"], "page": f"{Path(stage.makes).parent}/health.html"}
            for stage, own in ((stage, told.get(stage.name, {})) for stage in stages)
            if "health" in own
        },
        "table": list(_table(evaluation, stages, seconds)),
        "evaluation": evaluation,
    }
    if "prefer" in report["pairs"]:  # where a chain without iterations always had it
        report["preferences"] = report["pairs"]["prefer"]
    if "dpo" in told:
        report["dpo"] = _some(told["dpo"], "train_pairs", "held_out_pairs", "health")
    return report if curve is None else {**report, "curve": dict(curve)}


def _table(
    evaluation: Mapping[str, Any], stages: Sequence[Stage], seconds: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """Yield a row a model: its means, its paired differences, and the seconds that made it.

    These are the seconds of every stage whose result it needed, but for the tasks themselves,
    which all models share.
    """
    differences = {
        (one["a"], one["b"], one["metric"]): _some(one, "difference", "low", "high")
        for one in evaluation["comparisons"]
    }
    wins = {
        (one["a"], one["b"]): _some(one, "rate", "low", "high")
        for one in evaluation["wins"]
        if one.get("decided") != "balance"
    }
    for name, means in evaluation["models"].items():
        yield {
            "model": name,
            QUALITY: means.get(QUALITY),
            "above_base": differences.get((name, BASE, QUALITY)),
            "above_sft": differences.get((name, _SFT, QUALITY)),
            TAX: means.get(TAX),
            "tax": differences.get((name, BASE, TAX)),
            "won_against_base": wins.get((name, BASE)),
            "seconds": round(sum(seconds[used] for used in _made_by(name, stages)), 1),
        }


def _made_by(name: str, stages: Sequence[Stage]) -> set[str]:
    """Return the stages that made a model; none made the first one."""
    by_name = {stage.name: stage for stage in stages}
    found: set[str] = set()
    ahead = [name] if name in by_name else []
    while ahead:
        used = ahead.pop()
        if used != "generate" and used not in found:
            found.add(used)
            ahead += by_name[used].uses
    return found


def health_warnings(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, str]]]:
    """Return the warnings of all trainings, each with the name of its stage."""
    return [
        (name, warned) for name, health in report["health"].items() for warned in health["warnings"]
    ]


def _some(told: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: told[key] for key in keys}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: is damaged ({why(error)}); delete the folder that it is in, and run "
            "align again"
        ) from error
