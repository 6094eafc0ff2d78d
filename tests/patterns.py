"""Every regular expression of the package, how it is used, and texts that are hostile to it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import regex

import selfinstruct
from selfinstruct.common.records import Markers
from selfinstruct.common.versions import Versioned
from selfinstruct.filters import echo, instruction_rules, phrases, unsuitable
from selfinstruct.prompts import load_prompts
from selfinstruct.prompts.language import languages, read_language
from selfinstruct.prompts.settings import SETTINGS
from selfinstruct.verdicts.parse import markers

Pattern = re.Pattern[str] | regex.Pattern[str]
# What each method is tried as: those of a row look at a text in the same way.
METHODS = {
    "search": "search",
    **dict.fromkeys(("finditer", "findall", "sub", "subn", "split"), "finditer"),
    **dict.fromkeys(("match", "fullmatch"), "match"),
}
MODULES = ("re", "regex")
KINDS = (re.Pattern, regex.Pattern)


@dataclass(frozen=True)
class Use:
    """A pattern, where it stands, and a way in which it is used."""

    where: str
    pattern: Pattern
    method: str

    def apply(self, text: str) -> None:
        # The rest of the text is looked at too.
        if self.method == "finditer":
            for _ in self.pattern.finditer(text):
                pass
        else:
            getattr(self.pattern, self.method)(text)


def uses() -> list[Use]:
    """Return the patterns of modules, classes and containers, and those that functions make."""
    found: dict[tuple[int, str], Use] = {}
    for where, pattern, methods in [*_in_modules(), *_made()]:
        for method in sorted({METHODS[name] for name in methods or {"search"}}):
            found.setdefault((id(pattern), method), Use(where, pattern, method))
    return list(found.values())


def _in_modules() -> Iterator[tuple[str, Pattern, set[str]]]:
    folder = Path(str(selfinstruct.__file__)).parent
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not re.search(r"^\s*(?:import|from) (?:re|regex)\b|_pattern|_PATTERN", text, re.M):
            continue
        names = path.relative_to(folder.parent).with_suffix("").parts
        name = ".".join(names).removesuffix(".__init__")
        calls, literals = _calls(ast.parse(text))
        yield from ((f"{name}:{line}", *rest) for line, *rest in literals)  # type: ignore[misc]
        for own, value in vars(importlib.import_module(name)).items():
            methods = calls.get(own, set()) if isinstance(value, KINDS) else calls["*"]
            yield from ((f"{name}.{own}", one, methods) for one in _held(value))


def _calls(tree: ast.AST) -> tuple[dict[str, set[str]], list[tuple[int, Pattern, set[str]]]]:
    """Return the methods that are used of each name (`*`: of anything), and literal patterns."""
    methods: dict[str, set[str]] = {"*": set()}
    literals: list[tuple[int, Pattern, set[str]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            methods["*"].add(node.attr)
            if isinstance(node.value, ast.Name):
                methods.setdefault(node.value.id, set()).add(node.attr)
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, of = node.func.attr, node.func.value
        if name not in METHODS or not isinstance(of, ast.Name) or of.id not in MODULES:
            continue
        if node.args and isinstance(node.args[0], ast.Constant):
            flags = 0
            for one in ast.walk(node):
                if isinstance(one, ast.Attribute) and one.attr.isupper():
                    flags |= getattr(re, one.attr)
            compiled: Any = (re if of.id == "re" else regex).compile(node.args[0].value, flags)
            literals.append((node.lineno, compiled, {name}))
    return methods, literals


def _held(value: Any, depth: int = 0) -> Iterator[Pattern]:
    """Yield the patterns in a value: itself, in containers, in a class or a record."""
    if isinstance(value, KINDS):
        yield value
    elif depth < 5:
        parts: Iterable[Any] = ()
        if isinstance(value, dict):
            parts = [*value, *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            parts = value
        elif isinstance(value, type | Versioned):
            own = value.__module__.startswith("selfinstruct")
            parts = [getattr(value, name, None) for name in _fields(value)] if own else ()
        for part in parts:
            yield from _held(part, depth + 1)


def _fields(value: Any) -> list[str]:
    return list(getattr(value, "__slots__", None) or vars(value))


def _made() -> Iterator[tuple[str, Pattern, set[str]]]:
    """Yield the patterns that functions make of the words of templates, rules and languages."""
    keywords = tuple(instruction_rules.UNSUITABLE_KEYWORDS)
    words = Markers()
    own = (words.input, words.output, words.label)
    makers: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
        (instruction_rules._keyword_pattern, (keywords,), "search"),
        (unsuitable._pattern, (keywords,), "search"),
        (unsuitable._pattern, ((*keywords, "zebra"),), "search"),
        (echo._marker_lines, (own,), "finditer"),
    ]
    for role, others in (
        (markers.Role.INPUT, (words.input, *markers.OTHER_INPUTS)),
        (markers.Role.OUTPUT, (words.output, *markers.OTHER_OUTPUTS)),
        (markers.Role.LABEL, (words.label, *markers.OTHER_LABELS)),
    ):
        makers.append((markers._patterns, (role, others), "finditer"))
        makers.append((markers._patterns, (role, ("<<in>>",)), "finditer"))
    for code in languages():
        config = read_language(code).config
        for section in config.values():
            for key, value in section.items() if isinstance(section, dict) else ():
                if key.endswith("_phrases"):
                    makers.append((phrases._pattern, (tuple(value),), "search"))
    for make, arguments, method in makers:
        for pattern in _held(make(*arguments)):
            yield f"{make.__module__}.{make.__name__}{arguments!r:.60}", pattern, {method}


def of_templates() -> list[Use]:
    """Return the patterns of the shipped prompts.yaml, in English and in every language.

    They get `kinds._MOST_CHARACTERS` and a space, however long an instruction is.
    """
    libraries = {
        "en": load_prompts(),
        **{code: load_prompts(language=code) for code in languages()},
    }
    return [
        Use(f"{SETTINGS} ({code}): {pattern.pattern}", pattern, "search")
        for code, library in libraries.items()
        for rule in library.kind_rules
        for pattern in rule.patterns
    ]


# Spaces, line breaks, letters of several scripts, and marks: for any pattern.
ANY = (
    *("\n", " ", "\t", "a", "1", "é", "世", "_", "-", "*", "#", '"', "“", "`", "<", "[", "{", "("),
    *("?", ".", ":", "a ", "a\n", " \n", "\n\n ", ". ", "? ", "A b ", "a: ", "``` ", "\r"),
)
TAILS = ("\x00", "a", "\n!")
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
_SAMPLES = {
    sre.CATEGORY_SPACE: (" ", "\n"),
    sre.CATEGORY_NOT_SPACE: ("a",),
    sre.CATEGORY_WORD: ("a",),
    sre.CATEGORY_NOT_WORD: (".", " "),
    sre.CATEGORY_DIGIT: ("1",),
    sre.CATEGORY_NOT_DIGIT: ("a",),
}


def hostile(pattern: Pattern) -> list[tuple[str, str, str]]:
    """Return (head, repeated, tail) of texts made of what a pattern is made of.

    Each character that it holds, and each beginning of a text that it matches, is repeated; a
    beginning also stands once before repeats of another character.
    """
    own: dict[str, None] = {}
    begun: dict[str, None] = {}
    denied: dict[str, None] = {}
    if isinstance(pattern, re.Pattern):
        tree = _parser.parse(pattern.pattern, pattern.flags)
        _characters(tree, own)
        _beginnings(tree, begun, denied)
    starts = sorted((text for text in begun if 0 < len(text) < 60), key=len)
    few = [*starts[:8], *starts[8 :: max(1, len(starts) // 8)]]
    tails = [*TAILS, *(text for text in denied if text)][:5]
    texts = [("", text, tail) for text in ANY for tail in TAILS]
    texts += [("", text, "") for text in list(own)[:24] if text not in ANY]
    texts += [("", text, tail) for text in few for tail in tails]
    texts += [("", f"{text} ", "") for text in few]
    return texts + [
        (head, text, "\x00")
        for head in starts[:: max(1, len(starts) // 6)]
        for text in [*ANY[:4], *list(own)[:6]]
    ]


def _sample(op: Any, value: Any) -> tuple[str, ...]:
    """Return some characters that one item of a pattern matches."""
    if op is sre.LITERAL:
        return (chr(value),)
    if op is sre.NOT_LITERAL:
        return tuple(char for char in "a 1\n" if ord(char) != value)
    if op is sre.ANY:
        return ("a",)
    if op is not sre.IN:
        return ()
    if value[0][0] is sre.NEGATE:
        without = {chr(one) for kind, one in value[1:] if kind is sre.LITERAL}
        return tuple(char for char in "a 1\n([<" if char not in without)[:3]
    samples: list[str] = []
    for kind, one in value:
        if kind is sre.LITERAL:
            samples.append(chr(one))
        elif kind is sre.RANGE:
            samples.append(chr(one[0]))
        elif kind is sre.CATEGORY:
            samples += _SAMPLES[one]
    return tuple(samples[:6])


def _inner(op: Any, value: Any) -> list[Any]:
    """Return the parts of an item: of a repeat, of a group, of alternatives."""
    if op in _REPEATS:
        return [value[2]]
    if op is sre.SUBPATTERN:
        return [value[3]]
    if op is sre.BRANCH:
        return list(value[1])
    if op is sre.ATOMIC_GROUP:
        return [value]
    return [value[1]] if op in (sre.ASSERT, sre.ASSERT_NOT) else []


def _characters(tree: Any, found: dict[str, None]) -> None:
    for op, value in tree:
        found |= dict.fromkeys(_sample(op, value))
        for part in _inner(op, value):
            _characters(part, found)


def _beginnings(
    tree: Any, found: dict[str, None], denied: dict[str, None], before: str = ""
) -> list[str]:
    """Collect beginnings of texts that a pattern matches, and what it asks of what follows.

    Returns a few whole texts.
    """
    whole = [before]
    for op, value in tree:
        if op in (sre.ASSERT, sre.ASSERT_NOT):
            denied |= dict.fromkeys(_beginnings(value[1], {}, {})[:2])
            continue
        ends = [text + char for text in whole for char in _sample(op, value)[:2]]
        for part in _inner(op, value):
            for text in whole[:2]:
                ends += _beginnings(part, found, denied, text)[:3]
        if op in _REPEATS and value[0] == 0:
            ends += whole
        whole = list(dict.fromkeys(ends or whole))[:6]
        found |= dict.fromkeys(whole)
    return whole
