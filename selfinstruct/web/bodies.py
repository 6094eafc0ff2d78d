"""What a program or a form may send: values with their limits; unknown names are refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from selfinstruct.audit.search import Filter
from selfinstruct.decisions.labels import Rating
from selfinstruct.decisions.overrides import Action
from selfinstruct.verdicts.whatif import Thresholds
from selfinstruct.web.work import NewRun

Table = Literal["instructions", "instances"]
Share = Annotated[float, Field(ge=0, le=1)]
Logprob = Annotated[float, Field(le=0)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Place = Annotated[int, Field(ge=0, le=10**9)]
Id = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Text = Annotated[str, Field(max_length=100_000)]
Note = Annotated[str, Field(max_length=2_000)]


class Asked(BaseModel):
    """A body or a query; an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class CandidateQuery(Asked):
    """Which candidates, their order, and which page."""

    table: Table = "instructions"
    verdict: Literal["accepted", "rejected"] | None = None
    reason: Annotated[str, Field(max_length=40)] | None = None
    round: Place | None = None
    min_rouge: Share | None = None
    max_rouge: Share | None = None
    min_logprob: Logprob | None = None
    max_logprob: Logprob | None = None
    min_tokens: Place | None = None
    max_tokens: Place | None = None
    text: Annotated[str, Field(max_length=500)] | None = None
    instruction_id: Id | None = None
    parent: Id | None = None
    overridden: bool | None = None
    sort: Annotated[str, Field(max_length=40)] = "judged"
    descending: bool = False
    offset: Place = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 50

    def filter(self) -> Filter:
        page = {"sort", "descending", "offset", "limit"}
        return Filter(**self.model_dump(exclude=page))


class Decision(Asked):
    """A person's decision about a candidate; an edit has the new texts."""

    id: Id
    action: Action
    by: Name
    note: Note = ""
    text: Text | None = None
    input: Text | None = None
    output: Text | None = None


class RatingGiven(Asked):
    """A rating of a candidate of the sample; null undoes the rater's last one."""

    rater: Name
    id: Id | None = None
    rating: Rating | None = None


class SampleWanted(Asked):
    """A stratified sample to rate."""

    per_reason: Annotated[int, Field(ge=1, le=10_000)] = 50
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    tables: Annotated[list[Table], Field(min_length=1, max_length=2)] = ["instructions"]


class WhatIfQuery(Asked):
    """Thresholds to judge by instead; null keeps the run's own."""

    rouge: Share | None = None
    min_logprob: Logprob | None = None
    max_logprob: Logprob | None = None
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None

    def thresholds(self) -> Thresholds:
        return Thresholds(self.rouge, self.min_logprob, self.max_logprob, self.quantile)


class WhatIfSaved(WhatIfQuery):
    """Thresholds, and the name of the new run."""

    name: Name


class StopRules(Asked):
    """When to stop; null keeps the run's own value."""

    target: Count | None = None
    min_yield: Share | None = None
    max_rounds: Count | None = None
    max_tokens: Count | None = None


class RunWanted(StopRules):
    """A new run. `seeds` is a text: JSON (docs/data.md), or an instruction per line; null: ours."""

    name: Name
    model: Annotated[str, Field(min_length=1, max_length=200)] = "bundled"
    seeds: Annotated[str, Field(max_length=900_000)] | None = None
    language: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    domain: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    system: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    prompting: Literal["auto", "base", "chat"] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    rouge: Share | None = None
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    min_logprob: Logprob | None = None
    per_round: Annotated[int, Field(ge=1, le=100_000)] | None = None

    def new_run(self) -> NewRun:
        return NewRun(**self.model_dump())
