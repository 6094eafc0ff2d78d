"""Whether the seeds are in the language that a run is to be in."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from selfinstruct.common.records import SeedTask
from selfinstruct.prompts.language import read_language

log = logging.getLogger(__name__)


def warn_of_other_language(seeds: Sequence[SeedTask], code: str | None) -> None:
    """Warn if most seeds are in another language: a model goes on as the list begins."""
    if code is None:
        return
    language = read_language(code)
    if not language.is_used_in([seed.instruction for seed in seeds]):
        log.warning(
            "the seeds do not look like %s, and new tasks follow the language of the seeds; give "
            "seed tasks in %s with --seeds (the shipped ones are English)",
            language.name,
            language.name,
        )
