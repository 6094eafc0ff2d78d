"""Read any data: a run as it stands, a folder of ours, or whatever `inputs` can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import shipped_data, user_path
from selfinstruct.common.records import Message
from selfinstruct.dataset.rows import export_rows
from selfinstruct.decisions.overrides import refuse_damaged
from selfinstruct.inputs.data_row import DataRow
from selfinstruct.inputs.own_folders import BEST, HELD_OUT, REPORT, TRAIN, check_own
from selfinstruct.inputs.raw import RawRow
from selfinstruct.inputs.read_data import AS_IT_IS, DataFile, ReadAs, read_source
from selfinstruct.inputs.sources import Source, find_source
from selfinstruct.prompts.canonical import user_text
from selfinstruct.store import open_run, run_exists

# The format of a run's rows, as messages name it.
_OF_A_RUN = "alpaca"


def read_any(source: str | Path, option: str, reading: ReadAs = AS_IT_IS) -> DataFile:
    """Read a run, a folder that `prefer` or `best-of` wrote, a file, a folder, or the hub.

    Args:
        source: what to read; `harm` and `truthfulness` are shipped data sets.
        option: the option that named it, for messages.
        reading: how to read it; a run is read as it is.

    Raises:
        ConfigError: there is none, or a row cannot be used. Names the place and what to do.
        StoreError: the run is damaged.
    """
    source = shipped_data(str(source)) or source
    path = user_path(source, option)
    if not path.is_dir():
        return read_source(find_source(source, option), reading)
    if run_exists(path):
        if reading.format or reading.columns:
            raise ConfigError(f"{path}: is a run; leave --format and --columns out")
        rows = list(run_rows(path))
        return DataFile(str(path), rows, "a run", len(rows), Counter(), reading.skip_invalid, path)
    for own in _OWN:
        if own.is_here(path):
            return read_source(own.source(path, option), reading)
    return read_source(find_source(source, option), reading)


def run_rows(path: Path) -> Iterator[DataRow]:
    """Yield the tasks of a run as it stands.

    Raises:
        StoreError: a file of the run is damaged, or decisions about it are lost.
    """
    run = open_run(path)
    refuse_damaged(run)
    for number, row in enumerate(export_rows(run), start=1):
        user = Message(role="user", content=user_text(row.instruction, row.input))
        yield DataRow(
            id=row.id,
            group=row.instruction_id,
            where=f"{path}: {row.id}",
            number=number,
            prompt=(user,),
            answer=(Message(role="assistant", content=row.output),),
            instruction=row.instruction,
            input=row.input,
            format=_OF_A_RUN,
            columns={"is_classification": row.is_classification},
        )


@dataclass(frozen=True, slots=True)
class _OwnFolder:
    """A folder that a command wrote; it is finished once it has all `needs`."""

    needs: tuple[str, ...]
    parts: tuple[str, ...]

    def is_here(self, folder: Path) -> bool:
        return all((folder / name).is_file() for name in self.needs)

    def source(self, folder: Path, option: str) -> Source:
        return Source(str(folder), lambda: self._rows(folder, option), folder)

    def _rows(self, folder: Path, option: str) -> Iterator[RawRow]:
        check_own(folder, *self.parts)
        for name in self.parts:
            yield from find_source(folder / name, option).rows()


_OWN = (
    _OwnFolder(needs=(REPORT, TRAIN, HELD_OUT), parts=(TRAIN, HELD_OUT)),
    _OwnFolder(needs=(REPORT, BEST), parts=(BEST,)),
)
