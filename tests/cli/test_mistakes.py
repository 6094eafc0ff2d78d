"""What people mistype or save in a wrong way: the message says what was meant, and what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.suggest import near
from selfinstruct.common.texts import amount, decode, shown
from selfinstruct.models import CATALOGUE, check_model
from tests.conftest import make_seed

# Python's own words: none of them belongs into a message.
PYTHON = re.compile(
    r"\bNone\b|\[Errno|Traceback|Error\(|NoneType|<class|\bTrue\b|\bFalse\b|KeyError"
    r"|Value error"
)


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str], folder: Path) -> str:
    """Run a command that must be refused; return its message."""
    before = sorted(folder.rglob("*"))
    assert cli(arguments) == 2
    captured = capfd.readouterr()
    message = " ".join(re.sub("[│╭╮╰╯─]", " ", captured.out + captured.err).split())
    assert sorted(folder.rglob("*")) == before, "files were left behind"
    assert not PYTHON.search(message), message
    return message


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["genrate"], "Did you mean 'generate'?"),
        (["audit", "lst", "run"], "Did you mean 'list'?"),
        (["generate", "--out", "run", "--taget", "5"], "--target"),
        (["generate", "--out", "run", "--model", "bundeld"], "did you mean 'bundled'?"),
        (["generate", "--out", "run", "--model", "Gemma3-270m"], "did you mean 'gemma-3-270m'?"),
        (["generate", "--out", "run", "--model", "gemma"], "did you mean 'gemma-3-270m'?"),
        (["models", "prepare", "bundel"], "did you mean 'bundled'?"),
        (["models", "probe", "bundeld"], "did you mean 'bundled'?"),
        (["evaluate", "--model", "a=bundeld", "--out", "e"], "did you mean 'bundled'?"),
        (["generate", "--out", "run", "--engine", "vlm"], "did you mean 'vllm'?"),
        (["generate", "--out", "run", "--set", "novelty.treshold=1"], "did you mean 'threshold'?"),
        (["generate", "--out", "run", "--set", "stopp.target=1"], "did you mean 'stop'?"),
        (["prefer", "run", "--policy", "p", "--out", "o", "--labeller", "juge"], "'judge'"),
        (
            ["export", "run", "--format", "mesages", "--out", "x"],
            "did you mean 'messages'? there are: '",
        ),
    ],
)
def test_it_says_what_was_meant(
    arguments: list[str],
    meant: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("selfinstruct.models.resolve._download", lambda *_: pytest.fail("the hub"))
    assert meant in refused(arguments, capfd, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--port", "99999"], "'--port': '99999' should be less than or equal to 65535"),
        (["plan", "run", "--target", "five"], "'--target': 'five' should be a valid integer "),
        (
            ["audit", "list", "run", "--stage", "x"],
            "'x' is none of them; there are: 'instructions'",
        ),
    ],
)
def test_a_wrong_value_is_named(
    arguments: list[str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(arguments, capfd, tmp_path) + " "


def test_a_mistyped_folder_is_not_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "outputs" / "tuned"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    check_model("outputs/tuned")
    with pytest.raises(ConfigError, match=r"no such folder; did you mean 'outputs/tuned'\?"):
        check_model("outputs/tunde")
    check_model("HuggingFaceTB/SmolLM2-135M")  # an owner's


def test_a_mistyped_run_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "other"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
        (tmp_path / "outputs" / name / "run.yaml").touch()
    monkeypatch.chdir(tmp_path)
    message = refused(["audit", "summary", "outputs/frist"], capfd, tmp_path)
    assert "(there is no such folder); did you mean 'outputs/first'? check" in message


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl", "t5-small", "bert-base-uncased", "phi"])
def test_names_of_the_hub_are_none_of_ours(name: str) -> None:
    assert near(name, CATALOGUE) is None
    check_model(name)


SEED = json.dumps(make_seed(1)) + "\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize(
    ("option", "name", "text"),
    [
        ("--seeds", "seeds.jsonl", SEED),
        ("--seeds", "seeds.txt", "Name a bird that can swim.\n"),
        ("--topics", "topics.txt", "cooking\n"),
        ("--avoid", "avoid.jsonl", '{"instruction": "Name a bird."}\n'),
        ("--config", "config.yaml", "seed: 1\n"),
        ("--system", "system.txt", "Be kind.\n"),
    ],
)
def test_another_encoding_is_named(
    option: str,
    name: str,
    text: str,
    encoding: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    text = f"# café\n{text}" if encoding == "latin-1" else text
    (tmp_path / name).write_bytes(text.encode(encoding))
    arguments = ["generate", "--out", str(tmp_path / "run"), option, str(tmp_path / name)]
    message = refused(arguments, capfd, tmp_path)
    assert f"{name}: is " in message
    assert "save it as UTF-8" in message
    assert ("UTF-16" in message) == encoding.startswith("utf-16")


def test_text_in_utf_8_is_never_taken_for_utf_16() -> None:
    for text in ("a", "ab", "é", "日本語", "a\0b", "Name a bird.\n" * 50):
        assert decode(text.encode(), "x.txt", "--seeds") == text


@pytest.mark.parametrize("name", ["seeds.TXT", "seeds.Txt", "topics.TXT"])
def test_capital_endings_count(name: str, tmp_path: Path) -> None:
    from selfinstruct.inputs.seeds import parse_seeds
    from selfinstruct.inputs.texts import parse_texts

    if name.startswith("seeds"):
        (seed,) = parse_seeds(b"Name a bird.\n", tmp_path / name)
        assert seed.instruction == "Name a bird."
    else:
        assert parse_texts(b'"cooking"\n', name, "--topics") == ['"cooking"']
        assert parse_texts(b'"cooking"\n', "topics.JSONL", "--topics") == ["cooking"]


def test_a_run_stores_seeds_of_capital_ending_as_what_they_are() -> None:
    from selfinstruct.inputs.raw import suffix_of

    assert suffix_of(Path("x.TXT")) == ".txt"
    assert suffix_of(Path("x.JSONL.gz")) == ".jsonl"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"instruction": null, "instances": [{"input": "", "output": "x"}]}',
            '"instruction" is missing',
        ),
        (json.dumps(make_seed(1, is_classification="yes")), 'is "yes"; give true'),
        (
            json.dumps(make_seed(1, instances=[{"output": True}])),
            "is not a text but true; give a text",
        ),
        ("null", ":1: is null, no object"),
        ("{'id': 1}", "is not JSON"),
    ],
)
def test_seeds_are_spoken_of_as_json(
    line: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(line + "\n")
    arguments = ["generate", "--out", str(tmp_path / "run"), "--seeds", str(seeds)]
    assert message in refused(arguments, capfd, tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "--out", "run", "--config", "none.yaml"],
        ["generate", "--out", "run", "--topics", "none.txt"],
        ["generate", "--out", "run", "--prompts", "none"],
        ["generate", "--out", "run", "--set", "novelty.threshold="],
        ["best-of", "none.jsonl", "--policy", "bundled", "--out", "best"],
        ["evaluate", "--model", "a=bundled", "--out", "e", "--tasks", "none.jsonl"],
        ["evaluate", "--model", "a=bundled", "--out", "e", "--plain-text", "none.txt"],
        [
            *("evaluate", "--model", "a=bundled", "--out", "e"),
            *("--judge", "bundled", "--judge-prompt", "none.jinja"),
        ],
        ["train", "sft", "--data", "none.jsonl", "--model", "bundled", "--out", "sft"],
        ["train", "dpo", "--data", "none.parquet", "--model", "bundled", "--out", "dpo"],
        ["train", "sft", "--data", "x", "--model", "bundled", "--out", "o", "--config", "n.yaml"],
        ["export", "none", "--format", "alpaca", "--out", "x.jsonl"],
        ["merge", "none", "neither", "--out", "both"],
        ["serve", "--root", "a\0b"],
    ],
)
def test_no_python_in_messages(
    arguments: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(arguments, capfd, tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "x"), "No such file or directory"),
        (KeyError("instances"), 'lacks "instances"'),
        (ValueError("a\n  b"), "a b"),
        (ValueError(), "no reason given"),
    ],
)
def test_reasons_are_in_words(error: Exception, words: str) -> None:
    assert why(error) == words


def test_no_message_shows_an_error_as_it_is() -> None:
    """Whoever puts an error into a message asks `why` for its words."""
    root = Path(cli.__code__.co_filename).parents[1]
    for path in root.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"\{(error|exc|e)(!r)?\}|\{type\(error\)", line), f"{path}: {line}"


@pytest.mark.parametrize(("count", "words"), [(0, "0 rows"), (1, "1 row"), (3104, "3,104 rows")])
def test_counts_are_in_words(count: int, words: str) -> None:
    assert amount(count, "row") == words


def test_a_long_value_is_cut() -> None:
    assert shown({"a": None}) == '{"a": null}'
    assert len(shown("x" * 500)) == 80


@pytest.mark.parametrize(
    ("value", "message"),
    [("0", "not a number of cores"), ("-1", "not a number of cores"), ("many", "such as `0-15`")],
)
def test_threads_say_what_they_want(
    value: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["generate", "--out", str(tmp_path / "run"), "--set", f"engine.threads={value}"]
    assert message in refused(arguments, capfd, tmp_path)


def test_threads_are_a_number_of_cores_or_which() -> None:
    from selfinstruct.config.values import build_config, parse_settings
    from selfinstruct.engines.machine import bound_cores

    bound = {
        text: bound_cores(
            build_config(parse_settings([f"engine.threads={text}"]), "--set").engine.threads,
            (0, 1, 4),
        )
        for text in ("1", "2", "9", "0-1", "0,4", "'1'", "null")
    }
    assert bound == {
        "1": "0",
        "2": "0,1",
        "9": "0,1,4",
        "0-1": "0-1",
        "0,4": "0,4",
        "'1'": "1",
        "null": "0,1,4",
    }
