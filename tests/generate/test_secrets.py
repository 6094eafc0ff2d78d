"""A key of the environment is in nothing that a run writes or prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.models.endpoint import resolve_endpoint, with_endpoint
from tests.engines.http_server import serving
from tests.generate.test_served_run import answer

KEY = "sk-planted-4c1e9d77b2"
SETTINGS = ["likelihood.quantile=null", "likelihood.seed_bound=false", "propose.per_round=4"]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("SELFINSTRUCT_TOKEN", KEY)


def test_a_run_against_a_server_holds_no_key(
    tmp_path: Path, seeds_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    with serving(answer, faults=0.1) as server:
        words = ["--verbose", "generate", "--out", run, "--model", f"{server.url}#toy"]
        words += ["--seeds", str(seeds_file), "--target", "8", "--prompting", "base"]
        for setting in SETTINGS:
            words += ["--set", setting]
        assert cli(words) == 0
        assert server.given["answered"] > 0
        assert server.keys == {f"Bearer {KEY}"}
        assert cli(["--verbose", "answer", run, "--model", f"{server.url}#toy"]) == 0
    assert cli(["export", run, "--format", "alpaca", "--out", f"{run}.jsonl"]) == 0
    assert cli(["export", run, "--for", "trl", "--out", f"{run}-trl.jsonl"]) == 0
    assert cli(["audit", "summary", run, "--json"]) == 0
    assert cli(["audit", "list", run, "--json"]) == 0
    files = everything(tmp_path)
    assert len(files) > 12
    assert [name for name, content in files.items() if KEY.encode() in content] == []
    printed = capfd.readouterr()
    assert printed.out
    assert KEY not in printed.out + printed.err


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_an_error_that_repeats_the_key_is_told_without_it(
    tmp_path: Path,
    seeds_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    status: int,
) -> None:
    monkeypatch.setattr("selfinstruct.engines.http_servers.TRIES", 1)
    with serving(answer) as server:
        server.rejects = (status, f"Incorrect API key provided: {KEY}. Find yours at …")
        words = ["--verbose", "generate", "--out", str(tmp_path / "run"), "--target", "4"]
        words += ["--model", f"{server.url}#toy", "--seeds", str(seeds_file)]
        assert cli([*words, "--prompting", "base", "--set", SETTINGS[1]]) in (2, 3)
    printed = capfd.readouterr()
    assert "error:" in printed.err
    assert KEY not in printed.out + printed.err
    assert not any(KEY.encode() in content for content in everything(tmp_path).values())


@pytest.mark.parametrize(
    "url", [f"http://me:{KEY}@host:8000/v1", f"http://host:8000/v1?api_key={KEY}"]
)
def test_a_key_in_an_address_is_refused(url: str) -> None:
    for values in ({"model": {"name": f"{url}#toy"}}, {"engine": {"base_url": [url]}}):
        with pytest.raises(ConfigError, match="set OPENAI_API_KEY in the environment") as caught:
            with_endpoint(values)
        assert KEY not in str(caught.value)
    with pytest.raises(ConfigError, match="an address with a password or a query"):
        resolve_endpoint(f"{url}#toy")


@pytest.mark.parametrize("option", ["hf_token", "api-key", "password"])
def test_an_option_that_is_a_secret_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=r"would be stored in run\.yaml") as caught:
        with_endpoint({"engine": {"options": {option: KEY}}})
    assert KEY not in str(caught.value)
    with_endpoint({"engine": {"options": {"max_num_batched_tokens": 9, "skip_tokenizer": 1}}})
