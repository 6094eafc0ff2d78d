"""Rows as single tasks, for what cannot use a system prompt or several turns."""

from __future__ import annotations

from selfinstruct.common.texts import shown
from selfinstruct.inputs.data_row import BadRowError, DataRow


def check_single(row: DataRow, what: str) -> None:
    """Refuse a row that is more than what a user writes and one answer.

    Args:
        row: the row.
        what: what cannot have more, such as `a seed task`.

    Raises:
        BadRowError: names what there is too much.
    """
    roles = [turn["role"] for turn in row.prompt]
    if "system" in roles:
        text = row.prompt[roles.index("system")]["content"]
        raise BadRowError(
            row.where,
            f"has the system prompt {shown(text)}, and {what} has none; leave it out with "
            "--columns system=, or drop the row",
            "system prompt",
        )
    if roles != ["user"] or len(row.answer or ("",)) > 1:
        raise BadRowError(
            row.where,
            f"is a conversation of several turns, and {what} is one turn of the user and one of "
            "the assistant; cut it down, or drop the row",
            "several turns",
        )
