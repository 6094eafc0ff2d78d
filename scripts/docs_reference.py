"""The pages and tables of the docs that are made from the code: commands, Python, REST and so on.

`scripts/make_docs.py` writes them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

import selfinstruct as si
from selfinstruct.cli.app import app
from selfinstruct.config.presets import PRESETS, preset
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.trainers import TRAINERS, config_path
from selfinstruct.filters.rules import reasons
from selfinstruct.inputs.formats import FORMATS

ROOT = Path(__file__).resolve().parent.parent
MADE = "<!-- Made from the code by scripts/make_docs.py: change the code, not this page. -->\n\n"


def leaves(command: Any = None, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command and its name, such as `audit summary`, in the order of `--help`."""
    command = typer.main.get_command(app) if command is None else command
    below = getattr(command, "commands", {})
    for key, sub in below.items():
        yield from leaves(sub, f"{name} {key}".strip())
    if not below:
        yield name, command


def parameters(command: Any) -> list[Any]:
    """Return the arguments and options of a command that `--help` shows."""
    return [one for one in command.params if not getattr(one, "hidden", False)]


def commands_page() -> str:
    """Return the page of every command, with every argument and option."""
    found = dict(leaves())
    lines = [
        "# Commands\n\n",
        MADE,
        "`selfinstruct COMMAND --help` shows the same. Results go to stdout; progress "
        "and messages\n"
        "go to stderr. `selfinstruct --install-completion` makes the Tab key complete "
        "commands and\n"
        "options (bash, zsh, fish); `--show-completion` prints the completion script. `--version` "
        "prints the\n"
        "version, and `--verbose` before a command logs decisions with their reasons.\n\n",
        "| exit code | meaning | what to do |\n|---:|---|---|\n",
        *(f"| {code} | {meaning} | {advice} |\n" for code, meaning, advice in EXIT_CODES),
        "\n| command | what it does |\n|---|---|\n",
        *(
            f"| [`{name}`](#{name.replace(' ', '-')}) | {_first(command)} |\n"
            for name, command in found.items()
        ),
    ]
    lines += [_command(name, command) for name, command in found.items()]
    return "".join(lines)


EXIT_CODES = (
    (0, "done", ""),
    (1, "a bug in selfinstruct", "report it, with the message"),
    (
        2,
        "wrong usage, configuration or input; nothing was written",
        "read the message, and correct it",
    ),
    (
        3,
        "the engine, the disk or the hub failed; committed work is safe",
        "try again, with `--resume`",
    ),
    (4, "a run is damaged", "`selfinstruct audit verify RUN`, then `audit repair RUN`"),
    (130, "interrupted by Ctrl-C; committed work is safe", "the message says how to resume"),
)


def _first(command: Any) -> str:
    text = _plain(command.help or "").split("\n\n")[0]
    return re.split(r"(?<=[.:]) ", text)[0].rstrip(":.").replace("|", "\\|")


def _plain(text: str) -> str:
    """Return a help without rich's markup."""
    text = re.sub(r"\[/?dim\]", "", text)
    return text.replace("\\[", "[").strip()


def _command(name: str, command: Any) -> str:
    shown = parameters(command)
    names = [_argument(one) for one in shown if one.param_type_name == "argument"]
    usage = " ".join(["selfinstruct", name, *names, "[OPTIONS]"])
    example = _plain(command.epilog or "").partition("Example:")[2].strip()
    parts = [
        f"\n## {name}\n\n{_plain(command.help or '')}\n\n",
        f"```text\n{usage}\n```\n\n",
        f"Example: `{example}`\n\n" if example else "",
    ]
    panels: dict[str, list[Any]] = {}
    for one in shown:
        panels.setdefault(getattr(one, "rich_help_panel", None) or "", []).append(one)
    for panel, options in panels.items():
        parts.append(f"**{panel}**\n\n" if panel else "")
        parts.append("| option | default | meaning |\n|---|---|---|\n")
        parts += [_option(one) for one in options]
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or str(parameter.name)).upper()
    name = f"{name} ..." if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name}]"


def _option(parameter: Any) -> str:
    text, _, meaning = _plain(parameter.help or "").partition(" [default: ")
    if parameter.param_type_name == "argument":
        name = f"`{_argument(parameter)}`"
    else:
        name = ", ".join(f"`{word}`" for word in (*parameter.opts, *parameter.secondary_opts))
        if parameter.metavar:
            name += f" `{parameter.metavar}`"
    cells = (name, _default(parameter, meaning.removesuffix("]")), text)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _default(parameter: Any, meaning: str) -> str:
    if meaning:
        return meaning
    if parameter.required:
        return "required"
    value = parameter.default() if callable(parameter.default) else parameter.default
    if value is None or value == "" or getattr(parameter, "is_flag", False):
        return "on" if value is True else ""
    return f"`{value}`"


def reasons_page() -> str:
    """Return the page of every reason."""
    rows = "".join(f"| `{reason}` | {text} |\n" for reason, text in reasons().items())
    return (
        f"# Reasons\n\n{MADE}"
        "A candidate that did not become part of the dataset has exactly one reason, usually "
        "the first\n"
        "rule that it failed. `pending_instances`, `over_target` and `user_done` do not mean "
        "that the text is bad.\n"
        "The same names are used in the files of a run, in `audit list --reason`, and on the "
        "pages of the\n"
        "web service. [Rules](../rules.md) explains the rules, their limits and the pool. On this "
        "page, “conversation”\n"
        "means one that the model wrote with itself ([conversations](../conversations.md)).\n\n"
        f"| reason | meaning |\n|---|---|\n{rows}"
    )


def formats_page() -> str:
    """Return the page of the formats that are read and written."""
    lines = [
        f"# Formats\n\n{MADE}## Read\n\n"
        "Every command that reads data recognises these formats. [Your data](../data.md) says "
        "which command\n"
        "takes which, and what to do if columns have other names.\n\n"
        "| `--format` | a row |\n|---|---|\n",
        *(f"| `{known.name}` | {known.help} |\n" for known in FORMATS),
        "\n## Written\n\n`selfinstruct export RUN --format NAME --out FILE` writes these.\n\n"
        "| `--format` | file | a row |\n|---|---|---|\n",
        *(f"| `{format}` | `.{format.suffix}` | {format.help} |\n" for format in Format),
        f"\n## Trainers\n\n{export_table('../')}",
    ]
    return "".join(lines)


def export_table(docs: str = "docs/", *, is_short: bool = False) -> str:
    """Return a table of where an export goes, and by which command.

    Args:
        docs: the way to the folder of the docs.
        is_short: one row for all trainers that a configuration is written for.
    """
    trainers = [
        (
            trainer.name,
            f"--for {trainer.name}",
            f"the file, and `{config_path(trainer, Path('train.jsonl')).name}`",
        )
        for trainer in TRAINERS
    ]
    if is_short:
        names = ", ".join(trainer.name for trainer in TRAINERS)
        trainers = [(names, "--for NAME", "the file, and a configuration for the trainer")]
    rows = [
        ("`datasets`, TRL in your own script", "--format messages", "the file"),
        ("pandas, DuckDB", "--format parquet", "the file, with every score"),
        *trainers,
        (
            "the Hugging Face hub",
            "--format messages --card --push OWNER/NAME",
            "a dataset with a card",
        ),
    ]
    lines = ["| you use | add to `selfinstruct export RUN --out FILE` | you get |\n|---|---|---|\n"]
    lines += [f"| {use} | `{how}` | {got} |\n" for use, how, got in rows]
    lines.append(f"| `selfinstruct train` | no export: [give it the run]({docs}training.md) | |\n")
    return "".join(lines)


def python_page() -> str:
    """Return the page of the public Python API: signatures and docstrings."""
    lines = [
        f"# Python API\n\n{MADE}[From Python](../python.md) shows how these work together. "
        "In the examples,\n`si` is the package: `import selfinstruct as si`.\n",
    ]
    for name in sorted(si.__all__, key=str.lower):
        value = getattr(si, name)
        lines.append(f"\n## {name}\n\n")
        if not inspect.isfunction(value) and not hasattr(value, "__mro__"):
            lines.append(
                "Type for annotations: any record that is passed to `progress`, such as\n"
                "`RoundCommitted` or `Working`.\n"
            )
            continue
        lines.append(_signature(name, value))
        lines.append(_docstring(value))
        if inspect.isclass(value) and name == "Run":
            for key, method in vars(value).items():
                if not key.startswith("_") and inspect.isfunction(method):
                    lines.append(
                        f"\n### Run.{key}\n\n{_signature(key, method)}{_docstring(method)}"
                    )
    return "".join(lines)


def _signature(name: str, value: Any) -> str:
    if inspect.isclass(value) and issubclass(value, BaseException):
        return ""
    found = inspect.signature(value)
    if inspect.isclass(value) and value is si.Run:
        return ""
    given = [str(one) for one in found.parameters.values() if one.name != "self"]
    if any(one.kind is inspect.Parameter.KEYWORD_ONLY for one in found.parameters.values()):
        first = next(
            at
            for at, one in enumerate(one for one in found.parameters.values() if one.name != "self")
            if one.kind is inspect.Parameter.KEYWORD_ONLY
        )
        given.insert(first, "*")
    back = f" -> {found.return_annotation}" if isinstance(found.return_annotation, str) else ""
    inner = "".join(f"    {one},\n" for one in given)
    text = f"{name}(\n{inner}){back}" if inner else f"{name}(){back}"
    # Annotations are kept as texts, in quotes; so are defaults that are texts.
    text = re.sub(r": '([^']*)'", r": \1", text)
    return f"```text\n{text}\n```\n\n"


_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes|Example|Yields):$")


def _docstring(value: Any) -> str:
    """Return a docstring as Markdown: its sections become lists and blocks."""
    text = inspect.getdoc(value) or ""
    if value.__doc__ is None or text.startswith(f"{getattr(value, '__name__', '')}("):
        return ""
    out, section = [], ""
    for line in text.splitlines():
        if found := _SECTION.match(line):
            section = found[1]
            out.append(f"**{section}**\n")
            out.append("```python" if section == "Example" else "")
            continue
        if section == "Example":
            out.append(line.strip())
        elif section and (item := re.match(r"^    (\w+): (.*)$", line)):
            out.append(f"- `{item[1]}`: {item[2]}")
        elif section and line.startswith("        "):
            out.append(f"  {line.strip()}")
        elif section:
            out.append(line.strip())
        else:
            out.append(line)
    if section == "Example":
        out.append("```")
    # Markdown takes a `<` for HTML, but not within code.
    page = re.sub(r"(`[^`]*`)|<", lambda found: found[1] or "&lt;", "\n".join(out))
    return re.sub(r"\n{3,}", "\n\n", page) + "\n"


def rest_page() -> str:
    """Return the page of every operation of the REST interface, from its own description."""
    from fastapi import FastAPI

    from selfinstruct.web import api, api_decisions, api_jobs, chats

    service = FastAPI(title="selfinstruct")
    for router in (api.router, api_decisions.router, api_jobs.router, chats.router):
        service.include_router(router, prefix="/api/v1")
    described: dict[str, Any] = service.openapi()
    lines = [
        f"# REST\n\n{MADE}`selfinstruct serve` answers under `/api/v1`. [The "
        f"service](../service.md)\n"
        "has examples with curl, and says who may use it. `/api/v1/openapi.json` "
        "describes every body\n"
        "and reply.\n\n| operation | what it does |\n|---|---|\n"
    ]
    details = []
    for path, operations in sorted(described["paths"].items()):
        for method, operation in operations.items():
            said = (operation.get("description") or operation.get("summary") or "").strip()
            said = " ".join(said.split("\n\n")[0].split()).replace("|", "\\|")
            lines.append(f"| `{method.upper()} {path}` | {said} |\n")
            query = [
                f"`{one['name']}`"
                for one in operation.get("parameters", [])
                if one["in"] == "query"
            ]
            if query:
                details.append(f"- `{method.upper()} {path}`: {', '.join(query)}\n")
    if details:
        lines += ["\n## Query parameters\n\n", *details]
    return "".join(lines)


def preset_table() -> str:
    """Return a table of the presets of `selfinstruct init`."""
    rows = "".join(f"| `{name}` | {' '.join(preset(name).head)} |\n" for name in PRESETS)
    return f"| `--preset` | what it is, and whether it was run |\n|---|---|\n{rows}"


_NOW = re.compile(r"^\| \| now \| ([\d, ]+) \| \**([^|*]+?)\** \| \d+ \| ([\d,]+) \|$")
_MODEL = re.compile(r"^\| ([^|]+) \| before[^|]* \| [\d, ]+ \|")


def quality_table() -> str:
    """Return the README's table of what each model's data is worth, from docs/engine.md.

    Raises:
        ValueError: the table there has another form.
    """
    lines = [
        "| model that writes | good tasks (95 % interval) | generated tokens per 1,000 good "
        "tasks | run on |\n|---|---|---:|---|\n"
    ]
    model = ""
    for line in (ROOT / "docs" / "engine.md").read_text(encoding="utf-8").splitlines():
        if found := _MODEL.match(line):
            model = found[1]
        elif found := _NOW.match(line):
            tokens = 1000 / int(found[3].replace(",", ""))  # in millions
            lines.append(f"| {model} | {found[2]} | {tokens:.2g} million | 2 CPU cores |\n")
    if len(lines) < 2:
        raise ValueError("docs/engine.md: found no rows of A/B tasks; the table has another form")
    lines.append(
        "| 8 B and larger | not measured | not measured | **selfinstruct has not been run on a "
        "GPU yet** |\n"
    )
    lines.append(
        "\nEach model wrote 100 tasks with the default settings. Two language models, not people, "
        "rated 50\nof the 100 tasks of each model "
        "([details](docs/engine.md#the-tasks-of-three-models-by-default)). "
        "How long the\nruns took was not measured.\n"
    )
    return "".join(lines)


def index_page(readme: str) -> str:
    """Return the site's first page: the README, with its links as the site needs them."""
    text = re.sub(r"<!-- /?[\w-]+(: [^\n]*)? -->\n", "", readme)
    text = re.sub(r"\[([^\]]+)\]\((?:\.github|scripts)/[^)]+\)", r"\1", text)
    text = text.replace("(docs/", "(")
    return MADE.replace("the code", "README.md", 1).replace("the code", "README.md") + text
