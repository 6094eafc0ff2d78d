"""Read instructions, class labels and instances from the text of a completion.

The functions are pure: `audit replay` runs them again on the recorded completions. A text that
cannot be parsed gives an empty list. Spans are half-open ranges of characters of the completion's
text. A change of a parser is a new function beside the old one, and a new pair here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from selfinstruct.common.versions import Versioned
from selfinstruct.filters.changes_6 import MOST_CANDIDATES
from selfinstruct.verdicts.parse import first
from selfinstruct.verdicts.parse.instances import read_direct, read_input_first, read_output_first
from selfinstruct.verdicts.parse.lists import read_list
from selfinstruct.verdicts.parse.proposed import read_fields, read_message, read_task

Parser = TypeVar("Parser", bound=Callable[..., Any])


def _at_most(read: Parser) -> Parser:
    """Return a parser that reads at most so many candidates of a completion."""
    return cast("Parser", partial(read, most=MOST_CANDIDATES))


PARSE_PROPOSAL = Versioned(first.parse_proposal, (3, read_list), (6, _at_most(read_list)))
PARSE_LABEL = Versioned(first.parse_label)
PARSE_INPUT_FIRST = Versioned(
    first.parse_input_first, (3, read_input_first), (6, _at_most(read_input_first))
)
PARSE_OUTPUT_FIRST = Versioned(
    first.parse_output_first, (3, read_output_first), (6, _at_most(read_output_first))
)
PARSE_DIRECT = Versioned(first.parse_direct, (3, read_direct))
# Of the other styles of proposal.
PARSE_FIELDS = Versioned(read_fields)
PARSE_TASK = Versioned(read_task)
PARSE_MESSAGE = Versioned(read_message)
