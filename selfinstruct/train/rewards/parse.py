"""`--reward` and `--gold` as the user writes them: KIND[:VALUE], or MODULE:FUNCTION, [@WEIGHT]."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.train.rewards.base import Made, Needs, Reward
from selfinstruct.train.rewards.functions import load_function
from selfinstruct.train.rewards.kinds import KINDS

_WEIGHT = re.compile(r"[+-]?\d+(?:\.\d+)?")
_FUNCTION = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*)")
_BY_NAME = {kind.name: kind for kind in KINDS}


def parse_rewards(texts: Sequence[str], option: str = "--reward") -> tuple[Reward, ...]:
    """Return the rewards to sum.

    Raises:
        ConfigError: there is none, one is there twice, or one cannot be used.
    """
    if not texts:
        raise ConfigError(f"{option}: is missing; give what scores an answer, as `model:FOLDER`")
    rewards = tuple(parse_reward(text, option) for text in texts)
    names = [reward.text for reward in rewards]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{option} {twice}: is given twice; give it once, with a weight: @2")
    return rewards


def parse_gold(text: str | None, rewards: Sequence[Reward]) -> Reward | None:
    """Return the independent scorer, if one is named.

    Raises:
        ConfigError: it cannot be used, or is one of the rewards itself.
    """
    if text is None:
        return None
    gold = parse_reward(text, "--gold")
    if gold.weight != 1:
        raise ConfigError(f"--gold {text}: is alone, and has no weight; leave @… out")
    asked = [_apart(reward.text)[0] for reward in rewards]
    if len(rewards) == 1 and gold.text in asked:
        raise ConfigError(f"--gold {text}: is what is rewarded; give another scorer")
    return gold


def parse_reward(text: str, option: str) -> Reward:
    """Return one reward.

    Raises:
        ConfigError: there is no such kind, or its value or weight cannot be used.
    """
    asked, weight = _apart(text)
    if weight == 0 or not math.isfinite(weight):
        raise ConfigError(
            f"{option} {text}: the weight is {weight:g}; give another, or leave it out"
        )
    made, needs = _made(asked, f"{option} {asked}")
    return Reward(text, weight, needs, made.open, made.known_by)


def _apart(text: str) -> tuple[str, float]:
    """Return a reward without its weight, and the weight."""
    asked, _, weight = text.rpartition("@")
    if asked and _WEIGHT.fullmatch(weight):
        return asked, float(weight)
    return text, 1.0


def _made(asked: str, option: str) -> tuple[Made, Needs]:
    name, _, value = asked.partition(":")
    if (kind := _BY_NAME.get(name)) is not None:
        return kind.make(value, option), kind.needs
    if (function := _FUNCTION.fullmatch(asked)) is not None:
        score = load_function(function["module"], function["name"], option)
        return Made(lambda _: score), Needs.NOTHING
    raise ConfigError(
        f"{option}: there is no such reward; {did_you_mean(name, _BY_NAME)}give one of "
        f"{', '.join(kind.shown for kind in KINDS)}, or MODULE:FUNCTION"
    )
