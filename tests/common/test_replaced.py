"""A record with other values is what `dataclasses.replace` makes of it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.records import InstanceCandidate, InstructionCandidate
from selfinstruct.common.replaced import replaced

VALUES = st.none() | st.text(max_size=3) | st.integers(0, 9)


@given(data=st.data(), kind=st.sampled_from([InstructionCandidate, InstanceCandidate]))
def test_it_is_what_the_library_makes(data: st.DataObject, kind: Any) -> None:
    names = [field.name for field in fields(kind)]
    record = kind(**{name: data.draw(VALUES) for name in names})
    values = data.draw(st.dictionaries(st.sampled_from(names), VALUES))
    before = replace(record)
    assert replaced(record, **values) == replace(record, **values)
    assert record == before


def test_a_field_that_is_not_there_is_refused() -> None:
    names = [field.name for field in fields(InstanceCandidate)]
    record = InstanceCandidate(**dict.fromkeys(names, ""))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="InstanceCandidate has no field 'colour'"):
        replaced(record, colour="red")
