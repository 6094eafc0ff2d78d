"""The labellers that there are: one list, from which the options of the command line choose.

A new labeller is a file here, with its record, and a name in `LABELLERS` (docs/preferences.md).
The command line reads the list as it starts: what is heavy is imported inside functions.
"""

from __future__ import annotations

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.labellers.base import Labeller
from selfinstruct.labellers.expected import EXPECTED
from selfinstruct.labellers.judge import JUDGE
from selfinstruct.labellers.likelihood import LIKELIHOOD
from selfinstruct.labellers.principles import PRINCIPLES
from selfinstruct.labellers.reference import REFERENCE
from selfinstruct.labellers.reward import REWARD

LABELLERS: list[Labeller] = [LIKELIHOOD, JUDGE, REWARD, REFERENCE, PRINCIPLES, EXPECTED]


def labeller_of(name: str) -> Labeller:
    """Return the labeller of a name.

    Raises:
        ConfigError: there is none.
    """
    for labeller in LABELLERS:
        if labeller.name == name:
            return labeller
    names = [labeller.name for labeller in LABELLERS]
    raise ConfigError(
        f"no labeller {name!r}; {did_you_mean(name, names)}give one of: {', '.join(names)}"
    )
