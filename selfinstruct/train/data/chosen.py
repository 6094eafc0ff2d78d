"""The chosen answers of pairs as rows to imitate: the baseline that DPO is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from selfinstruct.common.records import Message
from selfinstruct.config.schema import NoveltyConfig
from selfinstruct.inputs.purposes import SFT_CHOSEN
from selfinstruct.inputs.read_data import AS_IT_IS, ReadAs
from selfinstruct.train.data.preference_rows import PreferenceRow, read_pairs
from selfinstruct.train.data.rows import TrainData
from selfinstruct.train.data.turns import TrainRow, conversation_row


def read_chosen(
    data: str | Path,
    *,
    held_out: float = 0.1,
    reading: ReadAs = AS_IT_IS,
    option: str = "--data",
) -> tuple[TrainData, list[TrainRow]]:
    """Read the chosen answers of pairs: those to learn, and those of held-out prompts.

    The pairs that `train dpo` holds out are held out here, too, so that the two can be compared.

    Args:
        data: as for `read_pairs`.
        held_out: for a file, the share of its prompts to hold out, the last ones.
        reading: how to read a file.
        option: the option that named it, for messages.

    Raises:
        ConfigError: there is none, or a row cannot be used. Names the place and what to do.
    """
    split = read_pairs(data, held_out=held_out, reading=reading, purpose=SFT_CHOSEN, option=option)
    train, held = (_imitated(rows) for rows in (split.train, split.held_out))
    return TrainData(train, NoveltyConfig().audit_floor, name=split.name), held


def _imitated(rows: Sequence[PreferenceRow]) -> list[TrainRow]:
    """Return each chosen answer to a prompt once."""
    seen: dict[tuple[str, str], TrainRow] = {}
    for row in rows:
        turns = (*row.messages, Message(role="assistant", content=row.chosen))
        learnt = replace(conversation_row(row.id, turns), proposal=row.prompt_id)
        seen.setdefault((row.prompt_id, row.chosen), learnt)
    return list(seen.values())
