"""Prompts that differ in their instruction alone: rendered once, then filled in.

The few-shot prompts of a run share everything but the instruction. Jinja takes about 0.1 ms for
each, so a template that only prints its instruction is rendered once for each set of its other
values, and cut where the instruction stands. Templates that do more with it (a filter, a test, a
loop) are rendered each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import nodes
from jinja2.environment import Environment

SLOT = "instruction"
# A turn of a conversation starts with a role between two private-use characters. No task can
# contain them: they are removed from every value that a template gets.
OPEN, CLOSE = "\ue000", "\ue001"
# What stands for the instruction: twice another, so that a text that has one of them is seen.
_MARKS = ("\ue002instruction\ue003", "\ue004the task\ue005")
# Other values that forms are told apart by: they are few, where an input is another each time.
_FEW = ("opened", "can_open")
_MOST = 64
# What a template may consist of. None of it keeps, changes or looks at what was printed.
_PLAIN = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr),
    *(nodes.Getitem, nodes.Slice, nodes.For, nodes.If, nodes.CondExpr, nodes.Test, nodes.Compare),
    *(nodes.Operand, nodes.Not, nodes.And, nodes.Or, nodes.Concat, nodes.Add, nodes.Sub),
    *(nodes.Assign, nodes.Filter, nodes.Call),
)
# Filters without chance and without a view of the context.
_FILTERS = frozenset({"capitalize", "default", "join", "length", "lower", "title", "trim", "upper"})


class Fixed(list[Any]):
    """Values of templates that nobody changes: forms are told apart by which list it is."""


class Forms:
    """The prompts of a library's templates, cut where their instruction stands.

    Args:
        environment: parses templates.
        files: the text of each template.
        render: renders a template with values.
    """

    def __init__(
        self,
        environment: Environment,
        files: Mapping[str, str],
        render: Callable[[str, Mapping[str, Any]], str],
    ) -> None:
        self._environment = environment
        self._files = files
        self._render = render
        self._prints: dict[str, bool] = {}
        # With the values: a list that is gone would leave its id to another.
        self._forms: dict[tuple[Any, ...], tuple[list[str] | None, Mapping[str, Any]]] = {}

    def filled(self, name: str, values: Mapping[str, Any]) -> str | None:
        """Return a rendered template, or None where it must be rendered in full."""
        instruction = values.get(SLOT)
        if not isinstance(instruction, str) or not self._only_prints(name):
            return None
        key = _key(name, values)
        if key is None:
            return None
        form = self._forms.get(key)
        if form is None:
            if len(self._forms) >= _MOST:
                self._forms.clear()
            form = self._forms[key] = (self._pieces(name, values), values)
        pieces, _ = form
        return None if pieces is None else str(cleaned(instruction)).join(pieces)

    def _pieces(self, name: str, values: Mapping[str, Any]) -> list[str] | None:
        """Return what stands around the instruction; None if that is not sure."""
        first, second = (self._render(name, {**values, SLOT: mark}) for mark in _MARKS)
        pieces = first.split(_MARKS[0])
        return pieces if _MARKS[1].join(pieces) == second else None

    def _only_prints(self, name: str) -> bool:
        """Whether a template does nothing with the instruction but print it."""
        if name not in self._prints:
            tree = self._environment.parse(self._files[name])
            self._prints[name] = all(map(_is_plain, tree.find_all(nodes.Node))) and (
                _printed(tree) == sum(one.name == SLOT for one in tree.find_all(nodes.Name))
            )
        return self._prints[name]


def cleaned(value: Any) -> Any:
    """Remove the turn characters from every text in a value."""
    if isinstance(value, str):
        return value.replace(OPEN, "").replace(CLOSE, "")
    if isinstance(value, Mapping):
        return {key: cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    return value


def _key(name: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Return what a form is told apart by; None if the values may change."""
    key: list[Any] = [name]
    for known, value in values.items():
        if known == SLOT:
            continue
        if isinstance(value, Fixed):
            key.append((known, id(value)))
        elif known in _FEW and isinstance(value, str | bool):
            key.append((known, value))
        else:
            return None
    return tuple(key)


def _is_plain(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Filter):
        return node.name in _FILTERS
    if isinstance(node, nodes.Call):  # of what starts a turn
        is_turn = isinstance(node.node, nodes.Name) and node.node.name == "turn"
        return is_turn and all(isinstance(argument, nodes.Const) for argument in node.args)
    return type(node) in _PLAIN


def _printed(tree: nodes.Template) -> int:
    """Count the places where the instruction is printed as it is."""
    return sum(
        isinstance(part, nodes.Name) and part.name == SLOT
        for output in tree.find_all(nodes.Output)
        for part in output.nodes
    )
