"""Tables of error rates, for `audit summary` and `audit whatif`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from selfinstruct.cli.console import plain, stderr, stdout

if TYPE_CHECKING:
    from selfinstruct.audit.error_rates import Measured, WhatIfRates
    from selfinstruct.audit.estimates import Estimate


def print_measured(found: Measured) -> None:
    """Print what ratings say about the filters, rule by rule and in all."""
    from rich.table import Table

    for rates in found.tables.values():
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
        _say(f"recall: {estimate(rates.recall)} of all that is good was accepted")
        if rates.unrated:
            _say(f"not rated, and so unknown: {', '.join(rates.unrated)}")
    agreed = "" if found.agreement is None else f", agreement (alpha) {found.agreement:.2f}"
    even = f", {found.unsettled} without a majority" if found.unsettled else ""
    _say(f"rated: {found.rated} by {plain(', '.join(found.raters))}{even}{agreed}")
    if found.stale:
        stderr.print(
            "the run has changed since the sample was drawn; draw another with: audit sample "
            "(ratings stay)",
            highlight=False,
            soft_wrap=True,
        )


def print_what_if_rates(found: Sequence[WhatIfRates]) -> None:
    """Print what other thresholds would do to the error rates."""
    from rich.table import Table

    for rates in found:
        table = Table(title=f"error rates of {rates.table}, 95 %", title_justify="left")
        for column in ("", "recorded", "judged again"):
            table.add_column(column, justify="left" if not column else "right")
        table.add_row("kept", str(rates.before.kept), str(rates.after.kept))
        for title, name in (
            ("bad among the kept", "false_accept"),
            ("good among the rejected", "false_reject"),
            ("kept of all that is good", "recall"),
        ):
            both = (getattr(one, name) for one in (rates.before, rates.after))
            table.add_row(title, *(estimate(one) for one in both))
        stdout.print(table)


def estimate(found: Estimate) -> str:
    """Return a share with its interval, such as `12% (5 to 24)`."""
    value = "unknown" if found.value is None else f"{found.value:.0%}"
    return f"{value} ({100 * found.low:.0f} to {100 * found.high:.0f})"


def _say(text: str) -> None:
    stdout.print(text, markup=False, highlight=False, soft_wrap=True)
