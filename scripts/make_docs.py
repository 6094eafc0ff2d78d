"""Write the generated parts of the docs: the config table and the table of reasons.

`python scripts/make_docs.py` writes them, `--check` only says whether they are up to date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from selfinstruct.config import RunConfig, leaves
from selfinstruct.records import REASON_HELP

ROOT = Path(__file__).resolve().parent.parent
CONFIG_INTRO = """# Configuration

Every key can be given in a YAML file (`--config`), or on the command line as
`--set KEY=VALUE`. *Semantic* keys decide what a run contains and cannot change on `--resume`;
*stopping* and *throughput* keys can, and *input* keys are compared by content. Values that
suit a model or a machine are found at the start and stored in `run.yaml`.

"""


def config_table() -> str:
    """Return a table of every key, its default, kind and meaning."""
    lines = ["| key | default | kind | meaning |", "|---|---|---|---|"]
    for key, kind, value, description in leaves(RunConfig()):
        default = json.dumps(value, ensure_ascii=False)
        if len(default) > 60:
            default = f"{len(value)} words"
        lines.append(f"| `{key}` | `{default}` | {kind} | {description} |")
    return "\n".join(lines) + "\n"


def reason_table() -> str:
    """Return a table of every reason and what it means."""
    lines = ["| reason | a candidate is rejected because |", "|---|---|"]
    lines += [f"| `{reason}` | {text} |" for reason, text in REASON_HELP.items()]
    return "\n".join(lines) + "\n"


def generated() -> dict[Path, str]:
    """Return the files that have generated parts, as they should be."""
    readme = ROOT / "README.md"
    marked = re.compile(r"(<!-- reasons: [^\n]*-->\n).*?(<!-- /reasons -->)", re.DOTALL)
    text = readme.read_text(encoding="utf-8")
    return {
        ROOT / "docs" / "config.md": CONFIG_INTRO + config_table(),
        readme: marked.sub(lambda m: m.group(1) + reason_table() + m.group(2), text),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args().check
    stale = 0
    for path, text in generated().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale = 1
        if check:
            print(f"{path} is stale: run scripts/make_docs.py", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main())
