"""Run -> training files that `datasets.load_dataset` and TRL read as they are.

The rows are those of the run as it stands: what people decided (`audit restore`, `drop`, `edit`)
is in them.
"""

from __future__ import annotations

from pathlib import Path

from selfinstruct.common import atomic
from selfinstruct.common.errors import ConfigError
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, ExportRow, export_rows
from selfinstruct.inputs.run_inputs import stored_inputs
from selfinstruct.store import Run
from selfinstruct.store.layout import OWN

__all__ = ["Answers", "ExportRow", "Format", "export", "export_rows"]


def export(run: Run, format: Format, out: Path, answers: Answers = Answers.OWN) -> int:
    """Write the dataset of a run to a file, whole or not at all; return the number of rows.

    Raises:
        ConfigError: the run holds no task yet, or the file cannot be written.
    """
    rows = list(export_rows(run, answers))
    if not rows and answers is Answers.TEACHER and any(True for _ in export_rows(run)):
        raise ConfigError(
            f"{run.path}: has no accepted answers of a teacher; "
            f"write some with: selfinstruct answer {run.path} --model TEACHER"
        )
    if not rows:
        raise ConfigError(f"{run.path}: holds no accepted task yet; generate some first")
    _refuse_own_files(run, out)
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; give the file to write, such as {out}/train.jsonl")
    content = format.content(rows, stored_inputs(run).prompts)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(out, content)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); check --out") from error
    return len(rows)


def _refuse_own_files(run: Run, out: Path) -> None:
    """An export may lie in the run's folder, beside what the run is made of."""
    folder, target = run.path.resolve(), out.resolve()
    inside = target.is_relative_to(folder) and target != folder
    if inside and target.relative_to(folder).parts[0] in OWN:
        raise ConfigError(f"{out}: is a part of the run itself; give another --out")
