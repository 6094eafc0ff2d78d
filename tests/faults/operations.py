"""Count the file operations of a process under a folder, and strike at one of them.

To be used in a process of its own (`forks.py`): it replaces functions of Python's `os` and `io`,
and the writers of Parquet, safetensors and torch, which do not go through these. Files are not
flushed in truth, which a kill does not need and which would take most of the time; it is noted
which are, for the power cut.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn


class Kind(StrEnum):
    """What is done to a file or a folder."""

    OPEN = "open"
    WRITE = "write"
    SYNC = "sync"
    RENAME = "rename"
    LINK = "link"
    REMOVE = "remove"
    MAKE = "make folder"


@dataclass(frozen=True)
class Operation:
    """One operation: its kind, and the path that it makes, changes or removes."""

    kind: Kind
    path: str


@dataclass(frozen=True)
class Fault:
    """What strikes at the operation `number`, from 0; of a write, half was done.

    code: number of the error that the disk gives; None: the process is killed.
    power: the power goes too: what was written and not flushed is half gone.
    lasts: the disk also refuses all that needs room after it.
    """

    number: int
    code: int | None = None
    power: bool = False
    lasts: bool = False

    @property
    def name(self) -> str:
        if self.code is not None:
            return errno.errorcode[self.code]
        return "power cut" if self.power else "kill"


@dataclass
class Operations:
    """The operations so far under a folder.

    flushed: bytes of each file, by path, that a power cut leaves; whole files have none.
    """

    root: str
    fault: Fault | None = None
    done: list[Operation] = field(default_factory=list)
    flushed: dict[str, int] = field(default_factory=dict)

    def act(self, kind: Kind, path: str, do: Callable[[], Any], half: Any = None) -> Any:
        """Count an operation, and do it or fail."""
        if not path.startswith(self.root):
            return do()
        self.done.append(Operation(kind, path[len(self.root) :]))
        if self.fault is not None and self._is_due(self.fault, kind):
            if half is not None:
                half()
            self._strike(self.fault, path)
        return do()

    def _is_due(self, fault: Fault, kind: Kind) -> bool:
        number = len(self.done) - 1
        needs_room = kind in (Kind.OPEN, Kind.WRITE, Kind.MAKE)
        return number == fault.number or (fault.lasts and number > fault.number and needs_room)

    def _strike(self, fault: Fault, path: str) -> NoReturn:
        if fault.code is not None:
            raise OSError(fault.code, os.strerror(fault.code), path)
        if fault.power:
            for name, size in self.flushed.items():
                if Path(name).is_file():
                    os.truncate(name, size + max(Path(name).stat().st_size - size, 0) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("this process is dead")

    def dirty(self, path: str, size: int) -> None:
        """Note that a file is written beyond its first `size` bytes."""
        self.flushed.setdefault(path, size)

    def moved(self, source: str, target: str) -> None:
        for name in [name for name in self.flushed if f"{name}/".startswith(f"{source}/")]:
            self.flushed[target + name[len(source) :]] = self.flushed.pop(name)


def watch(root: Path, fault: Fault | None = None) -> Operations:
    """Watch this process from now on, for good."""
    operations = Operations(f"{root}/", fault)
    _Os(operations).install()
    opened = _opener(operations)
    io.open = opened
    builtins.open = opened  # type: ignore[assignment]
    _writers(operations)
    return operations


def _path(name: Any, folder: int | None = None) -> str:
    """Return the absolute path of what an operation is about: a name, or an open file."""
    if isinstance(name, int):
        return _open_file(name)
    base = Path.cwd() if folder is None else Path(_open_file(folder))
    return os.path.normpath(base / os.fsdecode(name))


def _open_file(handle: int) -> str:
    return str(Path(f"/proc/self/fd/{handle}").readlink())


class _Os:
    """The functions of `os` that change a disk."""

    def __init__(self, operations: Operations) -> None:
        self.operations = operations
        names = ("open", "write", "fsync", "sendfile", "truncate", "ftruncate", "replace")
        self.real = {name: getattr(os, name) for name in names}

    def install(self) -> None:
        for name in ("rename", "replace"):
            self._move(name)
        self._paired("link")
        self._paired("symlink")
        for name in ("unlink", "remove", "rmdir"):
            self._single(name, Kind.REMOVE)
        self._single("mkdir", Kind.MAKE)
        os.open, os.write, os.fsync = self.open, self.write, self.fsync
        os.sendfile = self.sendfile

    def _single(self, name: str, kind: Kind) -> None:
        real, act = getattr(os, name), self.operations.act

        def call(path: Any, *given: Any, **named: Any) -> Any:
            where = _path(path, named.get("dir_fd"))
            return act(kind, where, lambda: real(path, *given, **named))

        setattr(os, name, call)

    def _paired(self, name: str) -> None:
        real, act = getattr(os, name), self.operations.act

        def call(source: Any, target: Any, *given: Any, **named: Any) -> Any:
            return act(Kind.LINK, _path(target), lambda: real(source, target, *given, **named))

        setattr(os, name, call)

    def _move(self, name: str) -> None:
        real, operations = getattr(os, name), self.operations

        def call(source: Any, target: Any, **named: Any) -> None:
            def do() -> None:
                real(source, target, **named)
                operations.moved(_path(source), _path(target))

            operations.act(Kind.RENAME, _path(target), do)

        setattr(os, name, call)

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        real = lambda: self.real["open"](path, flags, mode, dir_fd=dir_fd)  # noqa: E731
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return real()  # type: ignore[no-any-return]
        return self.operations.act(Kind.OPEN, _path(path, dir_fd), real)  # type: ignore[no-any-return]

    def write(self, handle: int, data: Any) -> int:
        real, path = self.real["write"], _path(handle)
        if path.startswith(self.operations.root):
            self.operations.dirty(path, os.fstat(handle).st_size)
        half = lambda: real(handle, bytes(data)[: len(data) // 2])  # noqa: E731
        return self.operations.act(Kind.WRITE, path, lambda: real(handle, data), half)  # type: ignore[no-any-return]

    def sendfile(self, out: int, *given: Any, **named: Any) -> int:
        real, path = self.real["sendfile"], _path(out)
        self.operations.dirty(path, 0)
        return self.operations.act(Kind.WRITE, path, lambda: real(out, *given, **named))  # type: ignore[no-any-return]

    def fsync(self, handle: Any) -> None:
        path = _path(handle if isinstance(handle, int) else handle.fileno())
        self.operations.act(Kind.SYNC, path, lambda: self.operations.flushed.pop(path, None))


def _opener(operations: Operations) -> Callable[..., Any]:
    """Return an `open` whose files are written through `Operations.act`."""
    real = io.open

    class Raw(io.FileIO):
        def write(self, data: Any, /) -> int:
            path = _path(self.fileno())
            operations.dirty(path, os.fstat(self.fileno()).st_size)
            whole = super().write
            half = lambda: whole(bytes(data)[: len(data) // 2])  # noqa: E731
            return operations.act(Kind.WRITE, path, lambda: whole(data), half)  # type: ignore[no-any-return]

    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        writes = set(mode) & set("wax+")
        if not writes or isinstance(file, int) or opener is not None:
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        path = _path(file)
        if not path.startswith(operations.root):
            return real(file, mode, buffering, encoding, errors, newline)
        plain = mode.replace("b", "").replace("t", "")
        raw = operations.act(Kind.OPEN, path, lambda: Raw(file, plain))
        if buffering == 0:
            return raw
        buffer = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        if "b" in mode:
            return buffer
        text = io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering=buffering == 1)
        text.mode = mode  # type: ignore[misc]
        return text

    return opened


def _writers(operations: Operations) -> None:
    """Count what is written by libraries that do not use Python's files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    real_table = pq.write_table

    def write_table(table: Any, where: Any, *given: Any, **named: Any) -> None:
        if not isinstance(where, str | os.PathLike):
            real_table(table, where, *given, **named)
            return
        sink = pa.BufferOutputStream()
        real_table(table, sink, *given, **named)
        with open(where, "wb") as handle:  # noqa: PTH123  # the one above
            handle.write(sink.getvalue().to_pybytes())

    pq.write_table = write_table
    torch, tensors = sys.modules.get("torch"), sys.modules.get("safetensors.torch")
    if torch is not None and tensors is not None:
        from safetensors import SafetensorError

        streams = "PytorchStreamWriter failed writing file: {}"
        _native(operations, torch.save, lambda error: RuntimeError(streams.format(error)))
        _native(operations, tensors.save_file, lambda error: SafetensorError(str(error)))


def _native(operations: Operations, real: Any, error_of: Callable[[OSError], Exception]) -> None:
    """Replace a function `save(content, path, ...)` wherever it was imported."""

    def save(content: Any, where: Any, *given: Any, **named: Any) -> Any:
        if not isinstance(where, str | os.PathLike):
            return real(content, where, *given, **named)
        path = _path(where)
        half = lambda: os.truncate(path, Path(path).stat().st_size // 2)  # noqa: E731
        try:
            operations.act(Kind.OPEN, path, lambda: None)
            found = real(content, where, *given, **named)
            operations.dirty(path, 0)
            operations.act(Kind.WRITE, path, lambda: None, half)
        except OSError as error:
            raise error_of(error) from error
        return found

    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is real:
                setattr(module, name, save)
