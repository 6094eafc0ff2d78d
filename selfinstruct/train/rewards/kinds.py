"""The kinds of rewards: one list, from which the option, its help and the docs are made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.evaluate.checks import CHECKS, CheckKind, passes_check
from selfinstruct.filters.length import count_words
from selfinstruct.filters.similarity import rouge_f
from selfinstruct.labellers.expected import is_as_expected
from selfinstruct.train.rewards.base import Answered, Lend, Made, Needs, RewardKind, Score


def _alone(score: Score) -> Made:
    """Return a reward that needs no network."""
    return Made(lambda _: score)


def _without_value(score: Score, value: str, option: str) -> Made:
    if value:
        raise ConfigError(f"{option}: takes no value; leave {value!r} out")
    return _alone(score)


def _rouge(answers: Sequence[Answered]) -> list[float]:
    return [rouge_f(answer.prompt.reference, answer.text) for answer in answers]


def _stored_check(answers: Sequence[Answered]) -> list[float]:
    return [
        float(answer.prompt.check is not None and passes_check(answer.text, answer.prompt.check))
        for answer in answers
    ]


def _words(answers: Sequence[Answered]) -> list[float]:
    return [float(count_words(answer.text)) for answer in answers]


def _one_check(kind: CheckKind, value: str, option: str) -> Made:
    """Return a reward of 1 for the answers that pass one check, whatever was asked."""
    values: tuple[str, ...] = (value,)
    if kind.name == "json":
        values = tuple(key.strip() for key in value.split(",") if key.strip())
    problem = ""
    try:
        fits = kind.fits(values)
    except ValueError as error:
        fits, problem = False, f" ({why(error)})"
    if not fits:
        raise ConfigError(f"{option}: cannot be used{problem}; give {kind.wants}")
    check = (kind.name, values)
    return _alone(lambda answers: [float(passes_check(each.text, check)) for each in answers])


def _likelihood(lend: Lend) -> Score:
    """Return what scores answers by their mean log-probability, nats per token."""

    def score(answers: Sequence[Answered]) -> list[float]:
        from selfinstruct.train.health.fresh import mean_logprobs

        with lend() as network:
            return mean_logprobs(network, [(answer.prompt_ids, answer.ids) for answer in answers])

    return score


def _likelihood_made(value: str, option: str) -> Made:
    _without_value(_words, value, option)
    return Made(_likelihood)


def _model(value: str, option: str) -> Made:
    """Return a reward model, whose weights are loaded when the training begins."""
    from selfinstruct.labellers.reward import AnsweredConversation, RewardModel, require_template
    from selfinstruct.models import resolve_model

    if not value:
        raise ConfigError(f"{option}: names no model; give one, as model:outputs/reward")
    model = resolve_model(value, lambda *_: None)
    require_template(model)

    def open_model(_: Lend) -> Score:
        network = RewardModel(model)
        return lambda answers: network.scores(
            [AnsweredConversation(answer.prompt.messages, answer.text) for answer in answers]
        )

    return Made(open_model, model.digest)


def _classifier(value: str, option: str) -> Made:
    """Return a classifier's probability of a label; training loads its weights as it begins."""
    from selfinstruct.labellers.classifier import Classifier, read_classifier

    if not value:
        raise ConfigError(f"{option}: names no model; give one, as scorer:FOLDER@toxic")
    labelled = read_classifier(value, option)

    def open_classifier(_: Lend) -> Score:
        classifier = Classifier(labelled)
        return lambda answers: classifier.probabilities([answer.text for answer in answers])

    return Made(open_classifier, labelled.known_by)


def _expected(answers: Sequence[Answered]) -> list[float]:
    return [float(is_as_expected(each.text, each.prompt.expect)) for each in answers]


KINDS: tuple[RewardKind, ...] = (
    RewardKind(
        "model", "MODEL", "the score of a reward model of `train reward`, in log-odds", _model
    ),
    RewardKind(
        "likelihood",
        "",
        "the mean log-probability of the answer under the reference model, nats per token",
        _likelihood_made,
    ),
    RewardKind(
        "reference",
        "",
        "ROUGE-L with the prompt's accepted answer",
        partial(_without_value, _rouge),
        Needs.REFERENCE,
    ),
    RewardKind(
        "check",
        "",
        "1 if the answer passes the row's own `check`; otherwise 0",
        partial(_without_value, _stored_check),
        Needs.CHECK,
    ),
    RewardKind(
        "expected",
        "",
        "1 if the answer declines exactly where the row's `expect` is `decline`; otherwise 0",
        partial(_without_value, _expected),
        Needs.EXPECTED,
    ),
    RewardKind(
        "scorer",
        "MODEL@LABEL",
        "the probability of a label by a sequence classifier, such as one of toxicity",
        _classifier,
    ),
    *(
        RewardKind(kind.name, "VALUE", f"1 if {kind.help}; otherwise 0", partial(_one_check, kind))
        for kind in CHECKS
    ),
    RewardKind("words", "", "the number of words", partial(_without_value, _words)),
)
