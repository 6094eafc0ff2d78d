"""Load a folder of templates, and render them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import Markers, Message, SeedTask
from selfinstruct.common.texts import read_text
from selfinstruct.common.versions import RULES_VERSION, Versioned
from selfinstruct.config.styles import SELF_INSTRUCT, STYLES, Style
from selfinstruct.filters.length import WORDS
from selfinstruct.prompts.forms import CLOSE, OPEN, Forms, cleaned
from selfinstruct.prompts.kinds import KindRule, kind_by_words
from selfinstruct.prompts.language import read_language
from selfinstruct.prompts.settings import SETTINGS, read_settings
from selfinstruct.prompts.style_settings import StyleSettings, read_style_settings

SHIPPED = Path(__file__).parent / "templates"
# Templates of the styles: a run has those of its own style alone.
STYLE_FILES = Path(__file__).parent / "styles"
_ROLES = ("system", "user", "assistant")
_SENTENCE_ENDS = Versioned(
    re.compile(r"(?<=[.!?]) "),
    (3, re.compile(r"(?<=[.!?]) |(?<=[。！？])")),  # noqa: RUF001
)
_TAG_START, _TAG_END = re.compile(r"\{[{%]"), re.compile(r"[}%]\}")
_TURN = re.compile(f"{OPEN}({'|'.join(_ROLES)}){CLOSE}")
# What the names of proposal templates start with.
_PROPOSALS = ("propose.", *(f"{name}." for style in STYLES.values() for name in style.templates))
# Kinds that are remembered, of texts that are not longer than this.
_MOST_KINDS, _LONGEST_KIND = 4096, 2000


@dataclass(frozen=True)
class PromptLibrary:
    """The templates of a run; `files` maps each file name to its text, as used and stored."""

    files: Mapping[str, str]
    markers: Markers
    stop: Mapping[str, Sequence[str]]
    exemplars: tuple[SeedTask, ...]
    kind_rules: tuple[KindRule, ...] = ()
    passages: tuple[Mapping[str, Any], ...] = ()
    style: StyleSettings = field(default_factory=StyleSettings)

    @property
    def passage_tasks(self) -> list[str]:
        """The tasks of the worked passages that proposals about passages show."""
        return [task for exemplar in self.passages for task in exemplar["tasks"]]

    def text(self, name: str, **values: Any) -> str:
        """Render a template of plain text."""
        filled = self._forms.filled(name, values)
        return self._render(name, values) if filled is None else filled

    def messages(self, name: str, **values: Any) -> list[Message]:
        """Render a template of turns.

        Raises:
            ConfigError: the template has no turn.
        """
        parts = _TURN.split(self.text(name, **values))
        if len(parts) < 3 or parts[0].strip():
            raise ConfigError(
                f'{name}: must start with a turn; start one with {{{{ turn("user") }}}}'
            )
        return [
            Message(role=role, content=content.strip())
            for role, content in zip(parts[1::2], parts[2::2], strict=True)
        ]

    def kind_of(self, instruction: str) -> bool | None:
        """Whether an instruction wants a label, by its words; None if they do not say.

        The loop asks more than once.
        """
        if len(instruction) > _LONGEST_KIND:
            return kind_by_words(instruction, self.kind_rules)
        if instruction not in self._kinds:
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            self._kinds[instruction] = kind_by_words(instruction, self.kind_rules)
        return self._kinds[instruction]

    @cached_property
    def _kinds(self) -> dict[str, bool | None]:
        return {}

    def own_lines(self, version: int = RULES_VERSION) -> frozenset[str]:
        """Return the lines and sentences of the proposal templates themselves, casefolded.

        Args:
            version: of the rules; before version 3, a script without spaces has none.
        """
        words, ends = WORDS.at(version), _SENTENCE_ENDS.at(version)
        own = [name for name in self.files if name.startswith(_PROPOSALS)]
        text = "\n".join(self.files[name] for name in own if name.endswith(".jinja"))
        lines = (_without_tags(line) for line in text.splitlines())
        return frozenset(
            sentence.strip().casefold()
            for line in lines
            for sentence in [line, *ends.split(line)]
            if words(sentence) > 3
        )

    @cached_property
    def _environment(self) -> SandboxedEnvironment:
        return SandboxedEnvironment(
            loader=jinja2.DictLoader(self.files),
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # prompts are text for a model, not HTML
        )

    @cached_property
    def _forms(self) -> Forms:
        return Forms(self._environment, self.files, self._render)

    def check_syntax(self) -> None:
        """Compile every template.

        Raises:
            ConfigError: a file is not Jinja; names file and line.
        """
        for name in self.files:
            if name.endswith(".jinja"):
                try:
                    self._environment.get_template(name)
                except jinja2.TemplateSyntaxError as error:
                    raise ConfigError(f"{name}:{error.lineno}: {error.message}") from error

    def _render(self, name: str, values: Mapping[str, Any]) -> str:
        try:
            template = self._environment.get_template(name)
            return template.render(markers=self.markers, turn=_turn, **cleaned(values))
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(f"{name}: cannot be rendered: {why(error)}") from error


def load_prompts(
    folder: Path | None = None, language: str | None = None, style: str = SELF_INSTRUCT.name
) -> PromptLibrary:
    """Load the shipped templates, in a language if one is given.

    Args:
        folder: its files replace those of the same name.
        language: code of a language; None for English.
        style: the style of proposals, whose templates are loaded too.

    Raises:
        ConfigError: no such folder or language, a file that no stage uses, or one that cannot be
            read; the style has no templates in the language.
    """
    files = {path.name: _read(path) for path in _template_files(SHIPPED)}
    if language is not None:
        files = read_language(language).files(files)
    own = {path.name: _read(path) for path in _files_of(STYLES[style])}
    files |= own
    if folder is not None:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: is not a folder of templates; check --prompts")
        for path in _template_files(folder):
            if path.name not in files:
                names = ", ".join(sorted(files))
                raise ConfigError(f"{path}: no stage uses this file; known names: {names}")
            files[path.name] = _read(path)
    if language is not None and any(files[name] == text for name, text in own.items()):
        raise ConfigError(
            f"language {language!r}: the templates of --style {style} are in English; leave "
            f"--language out, or bring all of them with --prompts: {', '.join(sorted(own))}"
        )
    return prompts_from_files(files)


def prompts_from_files(files: Mapping[str, str]) -> PromptLibrary:
    """Build the library from the texts themselves (a run keeps them in `inputs/prompts`)."""
    settings, style = read_settings(files[SETTINGS]), read_style_settings(files)
    library = PromptLibrary(
        dict(files),
        settings.marker_record(),
        {**settings.stop, **style.stop},
        settings.exemplar_tasks(),
        settings.kind_rules(),
        settings.passage_exemplars(),
        style,
    )
    library.check_syntax()
    return library


def _without_tags(line: str) -> str:
    """Return a line of a template without `{{ … }}` and `{% … %}`."""
    kept, place = [], 0
    while opened := _TAG_START.search(line, place):
        closed = _TAG_END.search(line, opened.end())
        if closed is None:
            break
        kept.append(line[place : opened.start()])
        place = closed.end()
    return "".join([*kept, line[place:]])


def _turn(role: str) -> str:
    """Start a turn of the conversation; templates call this."""
    if role not in _ROLES:
        raise ValueError(f"turn({role!r}): the roles are {', '.join(_ROLES)}")
    return f"{OPEN}{role}{CLOSE}"


def _files_of(style: Style) -> list[Path]:
    """Return the shipped files of a style's templates, and of their words."""
    paths = _template_files(STYLE_FILES)
    return [path for path in paths if path.name.partition(".")[0] in style.templates]


def _template_files(folder: Path) -> list[Path]:
    suffixes = (".jinja", ".jinja2", ".j2", ".yaml", ".yml")
    return sorted(path for path in folder.iterdir() if path.suffix in suffixes)


def _read(path: Path) -> str:
    return read_text(path, "--prompts", encoding="utf-8")  # as it is stored in the run
