"""Small data in every known format, of our own wording."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

THINGS = ("lamp", "kettle", "bicycle", "umbrella", "notebook", "ladder", "whistle", "basket")


def thing(n: int) -> str:
    return f"{THINGS[n % len(THINGS)]} number {n}"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def question(n: int) -> str:
    return f"What is a {thing(n)} good for?"


def answer(n: int) -> str:
    return f"A {thing(n)} helps about the house."


ROWS: dict[str, Callable[[int], dict[str, Any]]] = {
    "tasks": lambda n: {
        "instruction": question(n),
        "instances": [{"input": "", "output": answer(n)}],
    },
    "alpaca": lambda n: {"instruction": question(n), "input": "", "output": answer(n)},
    "messages": lambda n: {"messages": [user(question(n)), assistant(answer(n))]},
    "sharegpt": lambda n: {
        "conversations": [
            {"from": "human", "value": question(n)},
            {"from": "gpt", "value": answer(n)},
        ]
    },
    "transcript": lambda n: {"text": f"\n\nHuman: {question(n)}\n\nAssistant: {answer(n)}"},
    "prompt-completion": lambda n: {"prompt": question(n), "completion": answer(n)},
    "question-answer": lambda n: {"question": question(n), "answer": answer(n)},
    "texts": lambda n: {"instruction": question(n)},
    "preference": lambda n: {
        "prompt": question(n),
        "chosen": answer(n),
        "rejected": f"Nobody needs a {thing(n)}.",
    },
    "ranked": lambda n: {
        "prompt": question(n),
        "ranked": [answer(n), f"It is a {thing(n)}.", "No idea."],
    },
    "endings": lambda n: {
        "context": question(n),
        "endings": [answer(n), f"Nobody needs a {thing(n)}."],
        "label": 0,
    },
    "choices": lambda n: {
        "question": question(n),
        "choices": [f"Nobody needs a {thing(n)}.", answer(n)],
        "answer": "B",
    },
    "kto": lambda n: {"prompt": question(n), "completion": answer(n), "label": n % 2 == 0},
}


def array(path: Path, rows: list[Any]) -> Path:
    """Write rows as the best-known instruction sets are: one array, printed for people."""
    path.write_text(json.dumps(rows, indent=4), encoding="utf-8")
    return path


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def data(folder: Path, name: str, count: int = 12) -> Path:
    """Write a pretty-printed array of rows of a format."""
    return array(folder / f"{name}.json", [ROWS[name](n) for n in range(count)])
