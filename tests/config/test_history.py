"""A stored configuration is read as of its time: what lacks, what was renamed, what is gone."""

from __future__ import annotations

from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.config import history as config_history
from selfinstruct.config.history import all_fields, config_of_its_time
from selfinstruct.config.schema import RunConfig, leaves
from selfinstruct.config.values import nested
from selfinstruct.filters.rule import has_off_value, off_value
from selfinstruct.filters.rules import RULES


def stored(**values: Any) -> dict[str, Any]:
    """Today's configuration as run.yaml has it, with changes; None takes a key away."""
    flat = {key: value for key, _, value, _ in leaves(RunConfig())} | values
    return nested({key: value for key, value in flat.items() if value != "(absent)"})


def test_todays_configuration_is_todays() -> None:
    assert config_of_its_time(RunConfig().model_dump(mode="json"), "run.yaml") == RunConfig()


@pytest.mark.parametrize("rule", [r for r in RULES if r.section in ("rules", "instances")])
def test_a_run_of_before_a_rule_is_judged_without_it(rule: Any) -> None:
    for field, info in rule.limits.model_fields.items():
        key = f"{rule.section}.{field}"
        config = config_of_its_time(stored(**{key: "(absent)"}), "run.yaml")
        value = next(value for name, _, value, _ in leaves(config) if name == key)
        assert value == (off_value(info) if has_off_value(info) else info.default)


def test_a_run_of_before_the_likelihood_filter_has_none() -> None:
    values = RunConfig().model_dump(mode="json")
    del values["likelihood"]
    likelihood = config_of_its_time(values, "run.yaml").likelihood
    assert (likelihood.quantile, likelihood.seed_bound, likelihood.min_logprob) == (
        *(None, False),
        None,
    )
    assert likelihood.max_logprob is None


def test_a_run_of_before_unicode_words_compared_the_papers() -> None:
    absent = {"novelty.tokenizer": "(absent)", "novelty.audit_floor": "(absent)"}
    novelty = config_of_its_time(stored(**absent), "run.yaml").novelty
    assert (novelty.tokenizer, novelty.audit_floor) == ("rouge", 0.0)


def test_the_version_of_a_run_that_does_not_store_it() -> None:
    absent = {"rules_version": "(absent)"}
    assert config_of_its_time(stored(**absent), "run.yaml").rules_version == 2
    absent["novelty.audit_floor"] = "(absent)"
    assert config_of_its_time(stored(**absent), "run.yaml").rules_version == 1


def test_a_renamed_key_keeps_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config_history.RENAMED, "novelty.rouge", "novelty.threshold")
    values = stored(**{"novelty.threshold": "(absent)", "novelty.rouge": 0.4})
    assert config_of_its_time(values, "run.yaml").novelty.threshold == 0.4
    assert values["novelty"]["rouge"] == 0.4  # what is stored is not touched


def test_a_removed_key_is_read_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    values = stored(**{"engine.swap": 4})
    with pytest.raises(ConfigError, match=r"unknown key 'engine\.swap'"):
        config_of_its_time(values, "run.yaml")
    monkeypatch.setattr(config_history, "REMOVED", frozenset({"engine.swap", "gone.long"}))
    assert config_of_its_time(values, "run.yaml") == RunConfig()


def test_a_key_that_came_later_says_what_was_before() -> None:
    for key, info in all_fields(RunConfig):
        extra = info.json_schema_extra
        assert isinstance(extra, dict)
        later = extra["since"] != 1
        rule = any(key == f"{r.section}.{n}" for r in RULES for n in r.limits.model_fields)
        assert not later or "before" in extra or (rule and has_off_value(info)), key
