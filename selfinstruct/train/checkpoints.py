"""A model's folder while its training runs, and whether a training may use it.

checkpoints/checkpoint-N   whole once it has its counts.json, which is written when all else is on
                           the disk, or passed over (`whole.torn_file`)
checkpoints/.counted       the checkpoints of this training have counts.json; older ones have none
checkpoints/adapter        the trained adapter, while it is being merged
checkpoints/asked.json     what was asked for; --resume must ask for the same
checkpoints/course.json    what the first machine decided; --resume may run on another one
.model.tmp                 the model while it is being written
logs/                      what trackers write; stays
training.json              moved in last; then the model is whole
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.common.atomic import DISK_FAULTS
from selfinstruct.common.errors import ConfigError, TrainError, why
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import LocalModel
from selfinstruct.train.watching import is_main_process
from selfinstruct.train.whole import torn_file

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
ADAPTER = "adapter"
REPORT = "training.json"
PART = ".model.tmp"
ASKED = "asked.json"
_COURSE = "course.json"
# In a checkpoint: the tokens and seconds up to it.
COUNTS = "counts.json"
_COUNTED = ".counted"


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, and say which newer ones are torn.

    The trainer writes its state last, and we our counts. Older trainings have no counts.
    """
    numbered = [
        path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()
    ]
    counted = (folder / _COUNTED).exists() or any(_is_json(path / COUNTS) for path in numbered)
    for path in sorted(numbered, key=lambda path: -int(path.name.rpartition("-")[2])):
        torn = torn_file(path)
        if torn is None and counted and not _is_json(path / COUNTS):
            torn = COUNTS
        if torn is None:
            return path
        log.warning("%s: is not whole (%s); the checkpoint before it is used", path, torn)
    return None


def _is_json(path: Path) -> bool:
    """Whether a file is there and whole: what a lost current left of it is no JSON."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return True


def check_out(out: Path, resume: bool) -> Path | None:
    """Return the checkpoint to continue from.

    Raises:
        ConfigError: the folder holds a model, an unfinished training, or other files.
    """
    if (out / REPORT).exists():
        if resume and is_main_process():  # of a process that was killed while it cleaned up
            for name in (CHECKPOINTS, PART):
                shutil.rmtree(out / name, ignore_errors=True)
        raise ConfigError(f"{out}: holds a trained model already; give another --out")
    checkpoint = last_checkpoint(out / CHECKPOINTS)
    if not is_main_process():  # the main process may have begun to write
        return checkpoint if resume else None
    begun = (out / CHECKPOINTS).is_dir() or (out / PART).is_dir()
    if begun and not resume:
        raise ConfigError(
            f"{out}: holds a training that was stopped; --resume continues it, another --out "
            "starts afresh"
        )
    if out.exists() and any(out.iterdir()) and not (resume and begun):
        raise ConfigError(
            f"{out}: is not empty, and no training was begun in it; give another --out"
        )
    return checkpoint


def asked_for(
    model: LocalModel, settings: Mapping[str, Any], rows: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Return what decides the course of a training, for `check_asked` to compare.

    Args:
        model: the model to start from.
        settings: those that matter, by name.
        rows: the data to learn and to validate with, by name, as JSON can hold it.
    """
    prints = {name: fingerprint({"rows": list(part)}) for name, part in rows.items()}
    # In the form that JSON keeps, since it is compared with what was read from JSON.
    asked: dict[str, Any] = json.loads(
        json.dumps({"model": model.digest, **prints, **settings}, default=str)
    )
    return asked


def check_asked(out: Path, asked: Mapping[str, Any], resume: bool) -> None:
    """Refuse to continue a training that was begun with other data, model or settings.

    Raises:
        ConfigError: something differs. Names it.
    """
    path = out / CHECKPOINTS / ASKED
    if not resume or not path.is_file():
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is damaged ({why(error)}); give another --out") from error
    wrong = [key for key in {**known, **asked} if known.get(key) != asked.get(key)]
    if wrong:
        raise ConfigError(
            f"{out}: was begun with other values of {', '.join(wrong)}; --resume needs the same, "
            "and another --out starts afresh"
        )


@dataclass(frozen=True)
class Course:
    """What the machine decided where a training began, and what changes its losses.

    Attributes:
        bfloat16: frozen weights are in bfloat16, not in float32.
        fields: of TRL's configuration, by name.
    """

    bfloat16: bool
    fields: Mapping[str, Any]


def course_of(out: Path) -> Course | None:
    """Return the course of a stopped training; None if none began, or an older release began it.

    Raises:
        ConfigError: the file is damaged.
    """
    path = out / CHECKPOINTS / _COURSE
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Course(bool(kept["bfloat16"]), dict(kept["fields"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: is damaged ({why(error)}); give another --out") from error


def begin(out: Path, asked: Mapping[str, Any], course: Course) -> None:
    """Make the folder of the checkpoints, and store what was asked for and what was decided.

    Raises:
        TrainError: the disk refuses.
    """
    if is_main_process():
        with written(out):
            (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
            if last_checkpoint(out / CHECKPOINTS) is None:
                atomic.write_bytes(out / CHECKPOINTS / _COUNTED, b"")
            atomic.write_json(out / CHECKPOINTS / _COURSE, asdict(course))
            atomic.write_json(out / CHECKPOINTS / ASKED, dict(asked))


@contextmanager
def refused(what: str, made: Path | None = None) -> Iterator[None]:
    """Turn a library's complaint about a value or a file into ConfigError.

    `made` is a folder that the library may have made by then. It is removed if it is empty, and
    so is its parent.

    Raises:
        ConfigError: the complaint.
        TrainError: the disk is full or broken.
    """
    try:
        yield
    except (TypeError, ValueError, AssertionError, OSError, KeyError, ImportError) as error:
        if made is not None:
            with suppress(OSError):
                made.rmdir()
                made.parent.rmdir()
        if isinstance(error, OSError) and error.errno in DISK_FAULTS:
            raise TrainError(
                f"{error.filename or what}: cannot be written or read ({why(error)}); free space "
                "or repair the disk, then run the same command again"
            ) from error
        file = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        raise ConfigError(f"{what}: {file}{why(error)}") from error


@contextmanager
def nothing_left(out: Path) -> Iterator[None]:
    """Remove what a failed training made, unless there is something to continue from.

    A whole checkpoint stays, and so does what an interruption leaves, for --resume.
    """
    begun = (out / CHECKPOINTS).exists()
    adapter = out / CHECKPOINTS / ADAPTER
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        yield
    except Exception:
        safe = adapter.is_dir() or last_checkpoint(out / CHECKPOINTS) is not None
        if not begun and is_main_process() and not safe:
            for name in (CHECKPOINTS, PART):
                shutil.rmtree(out / name, ignore_errors=True)
            with suppress(OSError):  # somebody has put a file there, or a tracker its logs
                for folder in missing:
                    folder.rmdir()
        raise


@contextmanager
def written(out: Path, what: str = "training") -> Iterator[None]:
    """Turn a full disk or a full memory into TrainError.

    Raises:
        TrainError: says what to do. The last whole checkpoint stays.
    """
    from safetensors import SafetensorError

    safe = "the last whole checkpoint, if there was one, is safe"
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TrainError(
            f"{out}: cannot be written or read ({reason}); {safe}: free space, then continue with "
            "--resume"
        ) from error
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            less = (
                "set a smaller per_device_train_batch_size or --max-length in another --out"
                if what == "training"
                else "free memory, or continue on a machine with more"
            )
            raise TrainError(
                f"{out}: memory is full while {what} ({why(error)[:200]}); {safe}: {less}"
            ) from error
        # torch.save's own message for a file that it cannot write.
        if "PytorchStreamWriter" not in str(error) and "write" not in str(error):
            raise
        raise TrainError(
            f"{out}: cannot be written ({why(error)}); {safe}: free space, then continue with "
            "--resume"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full: of Python, of a GPU, or of torch on a CPU."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate memory", "not enough memory")
    )
