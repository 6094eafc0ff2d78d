"""Tables of error rates, for `audit summary` and `audit whatif`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from selfinstruct.cli.console import plain, stderr, stdout

if TYPE_CHECKING:
    from selfinstruct.audit.error_rates import Measured, WhatIfRates
    from selfinstruct.audit.estimates import Estimate


def print_measured(measured: Measured) -> None:
    """Print the error rates that the ratings give, by rule and overall."""
    from rich.table import Table

    for rates in measured.tables.values():
        table = Table(title=f"error rates of {rates.table}", title_justify="left")
        for column in ("rule", "rated", "of", "good", "false rejects, 95 %"):
            table.add_column(column, justify="left" if column == "rule" else "right")
        for one in rates.strata:
            if one.outcome != "accepted":
                cells = (str(one.rated), str(one.size), str(one.good), estimate(one.share))
                table.add_row(one.outcome, *cells)
        table.add_section()
        table.add_row("all rules", "", "", "", estimate(rates.false_reject))
        stdout.print(table)
        accepted = next((one for one in rates.strata if one.outcome == "accepted"), None)
        seen = f" ({accepted.rated} of {accepted.size} rated)" if accepted else ""
        _say(f"false accepts: {estimate(rates.false_accept)} of the accepted are bad{seen}")
        _say(f"recall: {estimate(rates.recall)} of the good candidates were accepted")
        if rates.unrated:
            _say(f"not rated, and so unknown: {', '.join(rates.unrated)}")
    agreed = "" if measured.agreement is None else f", agreement (alpha) {measured.agreement:.2f}"
    even = f", {measured.unsettled} without a majority" if measured.unsettled else ""
    _say(f"rated: {measured.rated} by {plain(', '.join(measured.raters))}{even}{agreed}")
    if measured.stale:
        stderr.print(
            "the run has changed since the sample was drawn; draw another with: audit sample "
            "(ratings stay)",
            highlight=False,
            soft_wrap=True,
        )


def print_what_if_rates(tables: Sequence[WhatIfRates]) -> None:
    """Print what other thresholds would do to the error rates."""
    from rich.table import Table

    for rates in tables:
        table = Table(title=f"error rates of {rates.table}, 95 %", title_justify="left")
        for column in ("", "recorded", "judged again"):
            table.add_column(column, justify="left" if not column else "right")
        table.add_row("kept", str(rates.before.kept), str(rates.after.kept))
        for title, name in (
            ("bad among the kept", "false_accept"),
            ("good among the rejected", "false_reject"),
            ("kept among the good", "recall"),
        ):
            both = (getattr(one, name) for one in (rates.before, rates.after))
            table.add_row(title, *(estimate(one) for one in both))
        stdout.print(table)


def estimate(share: Estimate) -> str:
    """Return a share with its interval, such as `12% (5 to 24)`."""
    value = "unknown" if share.value is None else f"{share.value:.0%}"
    return f"{value} ({100 * share.low:.0f} to {100 * share.high:.0f})"


def _say(text: str) -> None:
    stdout.print(text, markup=False, highlight=False, soft_wrap=True)
