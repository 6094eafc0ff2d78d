"""Have a model judge the accepted tasks of a run by a rubric.

The judge says what it thinks of each task and its output. Nothing of the run changes: scores and
reasons are committed beside it, and exports may filter by them (verdicts/judgements.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.judged import Judgement
from selfinstruct.common.records import (
    Completion,
    Conversation,
    Form,
    InstanceCandidate,
    InstructionCandidate,
    Message,
    Prompt,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import RunConfig
from selfinstruct.decisions.view import read_judged
from selfinstruct.engines.base import Engine
from selfinstruct.engines.received import closing
from selfinstruct.engines.stream import batched, stream
from selfinstruct.generate.answer_way import Asking
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.generate.teacher import mode_of, refuse_other_keys, teacher_config
from selfinstruct.inputs.run_inputs import stored_inputs
from selfinstruct.models import resolve_model
from selfinstruct.prompts.chat_template import with_system
from selfinstruct.prompts.judging import Rubric
from selfinstruct.store import Run, run_lock
from selfinstruct.store.commits import JUDGED, Commit, count_commits
from selfinstruct.verdicts.judgements import (
    REPLIES_VERSION,
    RUBRIC,
    VERSION,
    judgement_of,
)

# A verdict and one sentence.
_TOKENS = 60


@dataclass(frozen=True, slots=True)
class JudgedTasks:
    """Result of `judge`.

    owed: accepted instances that had no judgement of this kind.
    written: judgements that were committed.
    unread: how many of them have no score, since a reply cannot be read.
    """

    owed: int
    written: int
    unread: int


def judge(run: Run, values: Mapping[str, Any], rubric: Rubric, asking: Asking) -> JudgedTasks:
    """Have every accepted instance judged that this judge has not judged by this rubric yet.

    Args:
        run: the run; gets new folders under `judgements`.
        values: `model`, `engine` and `instances.sampling` values of the judge, nested.
        rubric: what it is asked.
        asking: how it is asked.

    Raises:
        ConfigError: bad values, or a context too short for every question.
        StoreError: the run is damaged.
        WriteError: the disk refuses; committed batches stay.
        EngineError: the engine failed; committed batches stay, the rest is owed.
    """
    refuse_other_keys(values)
    config = teacher_config(run, values)
    with run_lock(run.path):
        run.verify()
        count_commits(run)
        JUDGED.verify(run)
        model = resolve_model(config.model.name, asking.model_progress, config.engine.base_url)
        engine = asking.make_engine(model, config.model, config.engine)
        mode = mode_of(model, engine, config)
        questions = _Questions(config, rubric, raw=mode == "base")
        meta = {
            "model": {"name": model.name, "digest": model.digest, "prompting": mode},
            "sampling": questions.sampling.model_dump(mode="json"),
            "system": config.model.system,
            RUBRIC: rubric.text,
            VERSION: REPLIES_VERSION,
        }
        owed = _owed(run, meta)
        if not owed:
            return JudgedTasks(0, 0, 0)
        context = config.engine.context_length
        if context is None:
            builder = RequestBuilder(
                config, stored_inputs(run), engine, {str(stage): mode for stage in Stage}
            )
            context = builder.context_of([one for pair in owed for one in questions.of(*pair, 0)])
        with closing(engine):
            engine.start(context)
            meta |= {"settings": dict(engine.settings())}
            return _judge_all(run, engine, questions, owed, meta, asking)


class _Questions:
    """The requests to a judge."""

    def __init__(self, config: RunConfig, rubric: Rubric, *, raw: bool) -> None:
        self.rubric = rubric
        self._config = config
        self._raw = raw
        own = config.instances.sampling
        stop = ("\n",) if raw else ()
        self.sampling: SamplingConfig = own.model_copy(
            update={"stop": (*stop, *own.stop), "max_tokens": min(_TOKENS, own.max_tokens)}
        )

    def of(
        self, task: InstructionCandidate, instance: InstanceCandidate, batch: int
    ) -> list[Request]:
        """Return a request for each question about an instance."""
        shown = {"instruction": task.text, "input": instance.input, "output": instance.output}
        judgement = ids.judged(instance.id, batch)
        requests = []
        for number, question in enumerate(self.rubric.questions):
            about = ids.judge_question(judgement, number)
            id = ids.request(about, Stage.JUDGE)
            requests.append(
                Request(
                    id=id,
                    about=about,
                    stage=Stage.JUDGE,
                    reading=Reading(Form.WHOLE),
                    prompt=self._prompt(self.rubric.ask(question, shown)),
                    sampling=self.sampling,
                    seed=derive_seed(self._config.seed, id),
                    template=self.rubric.name,
                )
            )
        return requests

    def _prompt(self, text: str) -> Prompt:
        if self._raw:
            return f"{text}\n"
        system = self._config.model.system
        messages = [Message(role="user", content=text)]
        messages = with_system(messages, system) if system else messages
        return Conversation(tuple(messages), thinking=self._config.model.thinking)


class _OpenJudgement:
    """An instance that is being judged."""

    def __init__(self, instance: InstanceCandidate, requests: Sequence[Request]) -> None:
        self.instance = instance
        self._requests = list(requests)
        self._back: dict[str, Completion] = {}

    @property
    def replies(self) -> list[Completion]:
        """The completions, in the order of the questions."""
        return [self._back[request.id] for request in self._requests]

    def start(self) -> list[Request]:
        return self._requests

    def take(self, completion: Completion) -> list[Request]:
        self._back[completion.id] = completion
        return []


def _judge_all(
    run: Run,
    engine: Engine,
    questions: _Questions,
    owed: Sequence[tuple[InstructionCandidate, InstanceCandidate]],
    meta: Mapping[str, Any],
    asking: Asking,
) -> JudgedTasks:
    """Ask all questions, and commit a batch after the other."""
    first, started = JUDGED.next_number(run), time.perf_counter()
    batches = (
        [_OpenJudgement(instance, questions.of(task, instance, number)) for task, instance in part]
        for number, part in enumerate(batched(owed, asking.batch_size), start=first)
    )
    asked = len(questions.rubric.questions)
    written: list[Judgement] = []
    for place, batch in enumerate(
        stream(engine, batches, lambda back: asking.advance(back // asked, len(owed)))
    ):
        seconds, started = time.perf_counter() - started, time.perf_counter()
        judged = [
            judgement_of(one.instance, first + place, one.replies, questions.rubric)
            for one in batch
        ]
        rows = [row for row in judged if row is not None]
        replies = [reply for one in batch for reply in one.replies]
        tokens = {
            "prompt": sum(reply.num_prompt_tokens for reply in replies),
            "generated": sum(reply.num_output_tokens for reply in replies),
        }
        info = {**meta, "judged": len(rows), "tokens": tokens, "seconds": round(seconds, 3)}
        JUDGED.commit(run, Commit(replies, (), (), info, judgements=rows))
        written += rows
    unread = sum(not all(row.answers) for row in written)
    return JudgedTasks(len(owed), len(written), unread)


def _owed(
    run: Run, meta: Mapping[str, Any]
) -> list[tuple[InstructionCandidate, InstanceCandidate]]:
    """Return the accepted instances that were not judged in this way, in the order of the run."""
    judged = {
        row.instance_id
        for number in JUDGED.numbers(run)
        if _is_same(JUDGED.info(run, number), meta)
        for row in JUDGED.read_judgements(run, number)
    }
    return [
        (one.instruction, instance)
        for one in read_judged(run).rounds()
        for instance in one.accepted()
        if instance.id not in judged
    ]


def _is_same(info: Mapping[str, Any], meta: Mapping[str, Any]) -> bool:
    same = all(info["model"][key] == meta["model"][key] for key in ("digest", "prompting"))
    return same and all(info.get(key) == meta[key] for key in ("sampling", "system", RUBRIC))
