"""The table of a probe: each stage in each mode of prompting, and what is chosen."""

from __future__ import annotations

from rich.table import Table

from selfinstruct.common.progress import Probed


def probe_table(probed: Probed) -> Table:
    """Return the table that says which prompting suits the model, and why."""
    how = "known from before" if probed.cached else f"{probed.seconds:.0f} s, once"
    # Without padding at its edges it fits 80 columns.
    table = Table(title=f"prompting ({how})", title_justify="left", pad_edge=False)
    for column in ("stage", "mode"):
        table.add_column(column)
    for column in ("tried", "unparsed", "copies", "kept", "share", "tokens"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in probed.rows:
        numbers = (row.candidates, row.unparsed, row.copies, row.kept)
        is_chosen = probed.modes[row.stage] == row.mode
        table.add_row(
            row.stage,
            row.mode,
            *map(str, numbers),
            f"{row.share:.0%}",
            f"{row.tokens:,}",
            "chosen" if is_chosen else "",
        )
    return table
