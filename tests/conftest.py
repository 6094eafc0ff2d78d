"""What the tests share: seeds, a model folder, scripted answers, and a way to run the loop."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.progress import Event, silent
from selfinstruct.common.records import Form, LocalModel, Request, Stage
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.scripted import Script, ScriptedEngine
from selfinstruct.generate import calibrate
from selfinstruct.generate.launch import launch
from selfinstruct.store import Run, open_run
from tests.warm import warm_command

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

SUBJECTS = (
    *("harbour", "violin", "desert", "bakery", "comet", "library", "glacier", "orchard"),
    *("railway", "lantern", "volcano", "museum", "beehive", "castle", "market", "meadow"),
)
VERBS = ("Describe", "Compare", "Explain", "Invent", "Summarize", "Praise", "Defend", "Classify")


def make_seed(number: int, **changes: Any) -> dict[str, Any]:
    """A seed task unlike the others."""
    seed: dict[str, Any] = {
        "id": f"seed_task_{number}",
        "name": f"seed_{number}",
        "instruction": f"{VERBS[number % 8]} proverb p{number} about q{number} and r{number}.",
        "instances": [{"input": "", "output": f"Proverb {number} says that patience pays."}],
        "is_classification": False,
    }
    return seed | changes


def write_seeds(path: Path, seeds: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(seed) + "\n" for seed in seeds), encoding="utf-8")
    return path


def draw(request: Request, salt: str, count: int) -> int:
    """A number below `count` that depends on the request alone, as sampling would."""
    digest = hashlib.sha256(f"{request.id}|{request.seed}|{request.prompt}|{salt}".encode())
    return int.from_bytes(digest.digest()[:4], "big") % count


def varied_script(request: Request) -> str | tuple[str, str]:
    """Answers of every kind: good ones, repeats, rule breakers, cut-off and empty texts."""
    if request.stage is Stage.PROPOSE:
        if draw(request, "empty", 12) == 0:
            return ""
        first = len(request.parents) + 1
        items = [_item(request, number) for number in range(5)]
        lines = [f" {items[0]}", *(f"{first + i}. {t}" for i, t in enumerate(items[1:], start=1))]
        finish = "length" if draw(request, "cut", 5) == 0 else "stop"
        return "\n".join(lines), finish
    if request.stage is Stage.CLASSIFY:
        return " label" if draw(request, "label", 5) == 0 else " text"
    return _instances(request)


def _item(request: Request, number: int) -> str:
    kind = draw(request, f"kind{number}", 8)
    words = [f"w{draw(request, f'word{number}{position}', 300)}" for position in range(4)]
    verb = VERBS[draw(request, f"verb{number}", len(VERBS))]
    subject = SUBJECTS[draw(request, f"subject{number}", len(SUBJECTS))]
    if kind == 0:
        return "Draw a picture of it."
    if kind == 1:
        return "Compare proverb p1 about q1 with r1 today."
    return f"{verb} the {subject} {' '.join(words)}."


def _instances(request: Request) -> str | tuple[str, str]:
    kind = draw(request, "instances", 6)
    answer = f"It looked calm and {SUBJECTS[draw(request, 'answer', len(SUBJECTS))]}-like."
    opened = request.reading.opened is not None
    if request.reading.form is Form.OUTPUT_FIRST:
        text = "calm\nInput: a quiet day\nLabel: wild\nInput: a storm at sea"
        return text if opened else f"Label: {text}"
    if kind == 0:
        return "Output: I remember the day when we all. And then the", "length"
    if kind == 1:
        return "Output: [your answer here]"
    return f" some notes\nOutput: {answer}" if opened else f"Output: {answer}"


# The folders of one half of `scripts/test.sh`; the other half is all the others. Of the time that
# the tests take on one core, each has about as much.
ENGINE_HALF = ("tests/real/", "tests/train/")


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "Run the tests marked `ci` too: they need a fresh environment or servers."
    parser.addoption("--ci", action="store_true", help=text)
    text = "Run one half of the tests: `engine`, of real models and training, or `rest`."
    parser.addoption("--half", choices=["engine", "rest", "even", "odd"], help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    half = config.getoption("--half")

    def is_run(item: pytest.Item) -> bool:
        if item.get_closest_marker("ci") is not None and not config.getoption("--ci"):
            return False
        if half in ("even", "odd"):  # of the quick tests, file by file
            return zlib.crc32(item.path.as_posix()[len(str(config.rootpath)) :].encode()) % 2 == (
                half == "odd"
            )
        is_engine = item.nodeid.startswith(ENGINE_HALF)
        return half is None or (half == "engine") == is_engine

    left_out = [item for item in items if not is_run(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if is_run(item)]


@pytest.fixture(autouse=True)
def own_calibrations(tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> None:
    """Calibration scores of scripted engines are not kept beside the user's own."""
    folder = tmp_path_factory.mktemp("calibrations")
    monkeypatch.setattr(calibrate, "cache_folder", lambda: folder)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The command `selfinstruct`, without the seconds that it takes to import vLLM and trainers."""
    with warm_command(tmp_path_factory.mktemp("warm")) as command:
        yield command


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder that counts as a model for engines that do not load it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"max_position_embeddings": 8192}', encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def seeds_file(tmp_path: Path) -> Path:
    return write_seeds(tmp_path / "seeds.jsonl", [make_seed(number) for number in range(12)])


Generate = Callable[..., tuple[Run, str]]


@pytest.fixture
def generate(model_folder: Path, seeds_file: Path) -> Generate:
    """Run the loop on a scripted engine; keyword arguments are dotted config values."""

    def run(
        out: Path,
        script: Script = varied_script,
        *,
        resume: bool = False,
        listen: Callable[[Event], None] = silent,
        engine: dict[str, Any] | None = None,
        **values: Any,
    ) -> tuple[Run, str]:
        from selfinstruct.config.values import nested

        defaults = {
            "model__name": str(model_folder),
            "model__prompting": "base",
            "propose__per_round": 4,
        }
        if not resume:
            defaults |= {"seeds": str(seeds_file), "stop__target": 10}
            if script is not varied_script:
                # The scripted engine's scores are made up: they decide where a test is about
                # the loop as a whole, not where it says what is to be accepted.
                defaults |= {"likelihood__quantile": None, "likelihood__seed_bound": False}
        dotted = {key.replace("__", "."): value for key, value in (defaults | values).items()}

        def make_engine(
            model: LocalModel, config: ModelConfig, how: EngineConfig
        ) -> ScriptedEngine:
            options = dict(engine or {})
            return options.pop("kind", ScriptedEngine)(script, **options)

        return launch(
            out,
            nested(dotted),
            resume=resume,
            make_engine=make_engine,
            listen=listen,
        )

    return run


@pytest.fixture(scope="session")
def made() -> dict[str, Path]:
    """Folders of runs that were made in this session, by name."""
    return {}


def copy_of(name: str, made: dict[str, Path], make: Callable[[], Run], to: Path) -> Run:
    if name not in made:
        made[name] = make().path
    shutil.copytree(made[name], to)
    return open_run(to)


@pytest.fixture
def small(tmp_path: Path, generate: Generate, made: dict[str, Path]) -> Run:
    """25 tasks of about 60 candidates in three rounds, rejected for all sorts of reasons."""
    make = lambda: generate(tmp_path / "first", stop__target=25)[0]  # noqa: E731
    return copy_of("small", made, make, tmp_path / "small")


@pytest.fixture
def large(tmp_path: Path, generate: Generate, made: dict[str, Path]) -> Run:
    """About 1,200 candidates in four rounds; strata from a handful to hundreds."""
    values: dict[str, Any] = {
        "stop__target": 9999,
        "stop__max_rounds": 4,
        "novelty__threshold": 0.6,
    }
    make = lambda: generate(tmp_path / "first", propose__per_round=70, **values)[0]  # noqa: E731
    return copy_of("large", made, make, tmp_path / "large")
