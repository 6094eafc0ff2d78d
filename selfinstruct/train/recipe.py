"""A way to train, as one record, and the records that it exchanges with the runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from selfinstruct.common.records import LocalModel
from selfinstruct.train.adapter import Adapter
from selfinstruct.train.base_model import name_for_others
from selfinstruct.train.network import merged_network, merged_reward


class Settings(Protocol):
    """What the settings of every recipe have. `options` are fields of TRL's configuration."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def method(self) -> str: ...
    @property
    def lora_r(self) -> int: ...
    @property
    def merge(self) -> bool: ...
    @property
    def adapter(self) -> Adapter | None: ...
    @property
    def attention(self) -> str | None: ...
    @property
    def max_length(self) -> int: ...
    @property
    def patience(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def options(self) -> Mapping[str, Any] | None: ...


DataT = TypeVar("DataT")
SettingsT = TypeVar("SettingsT", bound=Settings)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Source:
    """Where the data came from, for the card; `choices` are options that selected from it.

    `others` are the further data sets of a mixture.
    """

    data: Path
    choices: Mapping[str, str] = field(default_factory=dict)
    others: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """The names of all data sets."""
        return [str(self.data), *self.others]


@dataclass(frozen=True)
class Job(Generic[DataT, SettingsT]):
    """One training: what to learn, where to start, where to save, and how.

    Attributes:
        data: what the recipe's `encode` takes.
        model: the model to start from.
        out: the folder of the trained model. Checkpoints lie in it while the training runs.
        settings: the recipe's settings.
        resume: continue from the last whole checkpoint in `out`.
        source: named in README.md; None writes no README.md.
    """

    data: DataT
    model: LocalModel
    out: Path
    settings: SettingsT
    resume: bool = False
    source: Source | None = None


@dataclass(frozen=True)
class Examples:
    """Data as tokens: what is trained on, what is held out, and how many were dropped, by reason.

    `compared` names what must be the same when a training is resumed, as JSON can hold it.
    """

    train: Sequence[Any]
    held_out: Sequence[Any]
    dropped: Mapping[str, int]
    compared: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Training(Generic[DataT, SettingsT]):
    """A training that is set up; once it has ended, a recipe makes its result from this."""

    job: Job[DataT, SettingsT]
    examples: Examples
    tokenizer: Any
    trainer: Any
    scores: bool = False

    @property
    def steps(self) -> int:
        return int(self.trainer.state.global_step)

    @property
    def tokens(self) -> int:
        """Tokens trained on, in all processes, before a resume too."""
        return int(self.trainer.reporter.tokens)

    @property
    def seconds(self) -> float:
        """Seconds of training, before a resume too."""
        return round(float(self.trainer.reporter.seconds), 1)

    @property
    def losses(self) -> list[tuple[int, float]]:
        """(step, loss) of every logged step."""
        return self._logged("loss")

    @property
    def validation_losses(self) -> list[tuple[int, float]]:
        """(step, loss on held-out data) of every evaluation."""
        return self._logged("eval_loss")

    @cached_property
    def network(self) -> Any:
        """The network to save. Merging the adapter changes `trainer.model`: use that before."""
        model, settings = self.job.model, self.job.settings
        if self.scores:
            return merged_reward(self.trainer.model, self.tokenizer, model, settings.method)
        if settings.merge:
            return merged_network(self.trainer.model, self.tokenizer, model, settings.method)
        name_for_others(self.trainer.model, model)
        return self.trainer.model

    def _logged(self, name: str) -> list[tuple[int, float]]:
        rows = self.trainer.state.log_history
        return [(row["step"], row[name]) for row in rows if name in row]


@dataclass(frozen=True)
class Card:
    """What a recipe writes into README.md; `card.card_text` adds what all recipes share.

    `data` and `outcome` are rows of the table; `task` is the model hub's pipeline_tag.
    """

    title: str
    tag: str
    task: str
    trained_on: str
    data: Mapping[str, Any]
    outcome: Mapping[str, Any]
    origin: str = ""


def _nothing(_: Training[Any, Any]) -> None:
    """Prepare nothing: most recipes train at once."""


def _no_arguments(*_: Any) -> Mapping[str, Any]:
    return {}


def _nothing_to_check(*_: Any) -> None:
    """Check nothing: the fields of most recipes need no check of their own."""


def _no_files(_: Any) -> Mapping[str, str]:
    return {}


def _none(*_: Any) -> int:
    return 0


def _alone(_: Any) -> None:
    """Keep no further network beside the one in training."""


@dataclass(frozen=True)
class Recipe(Generic[DataT, SettingsT, ResultT]):
    """A way to train: what differs between the ways. `runner.train` does the rest.

    Attributes:
        name: of the command `selfinstruct train NAME`.
        unit: of the loss on held-out data.
        encode: turns data into tokens, with a tokenizer that it completes first. Raises
            ConfigError where the data cannot be used.
        dataset: gives examples the columns that the trainer reads.
        sequences: the lengths, in tokens, of what the network reads of one example.
        arguments: fields of TRL's configuration that this recipe sets itself.
        settled: those of `arguments` that follow from the settings alone, without data.
        reserved: fields that a user must not set.
        classes: imports TRL, and returns its configuration class and the trainer class. The
            trainer is a `reporter.Reporting`.
        result: makes the result once the training has ended.
        card: the recipe's part of README.md.
        check: raises ConfigError for settings, or fields of TRL's, that cannot be used. It needs
            no data.
        trainer_arguments: further arguments of the trainer class, from the job and the tokenizer.
        prepare: runs before the first step, when the folder exists. It may add callbacks.
        report: training.json.
        files: further texts in the model's folder, by name.
        scores: the network scores a sequence, instead of predicting its next token.
        reference: the model as it was stays beside it, where all weights are trained.
        beside: a further, frozen network that the data names, which is there all the time.
        outside_autocast: it also runs the network as its weights are, without autocast.
        whole_logits: on a CPU all logits of a batch are computed at once, those of `learnt` tokens.
        learnt: how many tokens of an example are learnt.
        watched: positions whose logits are computed at once between steps.
    """

    name: str
    unit: str
    encode: Callable[[DataT, Any, SettingsT], Examples]
    dataset: Callable[[Sequence[Any]], Any]
    sequences: Callable[[Any], tuple[int, ...]]
    arguments: Callable[[SettingsT, Examples], Mapping[str, Any]]
    reserved: frozenset[str]
    classes: Callable[[], tuple[Any, Any]]
    result: Callable[[Training[DataT, SettingsT]], ResultT]
    card: Callable[[Source, SettingsT, ResultT], Card]
    settled: Callable[[SettingsT], Mapping[str, Any]] = _no_arguments
    check: Callable[[SettingsT, Mapping[str, Any]], None] = _nothing_to_check
    trainer_arguments: Callable[[Job[DataT, SettingsT], Any], Mapping[str, Any]] = _no_arguments
    prepare: Callable[[Training[DataT, SettingsT]], None] = _nothing
    report: Callable[[Any], Mapping[str, Any]] = asdict
    files: Callable[[ResultT], Mapping[str, str]] = _no_files
    scores: bool = False
    reference: bool = False
    beside: Callable[[DataT], LocalModel | None] = _alone
    outside_autocast: bool = False
    whole_logits: bool = False
    learnt: Callable[[Any], int] = _none
    watched: Callable[[SettingsT, Examples], int] = _none
