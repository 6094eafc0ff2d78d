"""The steps of a chain: one list, from which its order, its methods, help and docs are made.

A step is a command of the CLI. A step with a `method` makes a policy that `--method` can name, and
that the comparison at the end has. A new method is one more record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from selfinstruct.align.settings import PROMPT, Place
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.suggest import did_you_mean

Words = tuple[str, ...]

REVISE = "revise"
# Tasks to judge (models in pairs, in both orders), prompts to answer again during a training, and
# steps of RL. Each takes minutes on a CPU; the default chain should take less than 30.
_JUDGED, _FRESH, _STEPS = 60, 16, 20


@dataclass(frozen=True)
class Step:
    """A step of a chain.

    Attributes:
        kind: as `--stage-options` names it.
        makes: its last file; the folder is the file's first part.
        words: the command, in the folder of a chain.
        needs: the kinds of the steps whose results it reads.
        method: what the policy that it makes is, in half a line; empty where it makes none.
        once: whether all iterations share it.
        repeats: whether the method can be repeated, on prompts that it does not train on.
        marks: whether the file says that the step is whole: it is written last.
        revised: whether it reads revisions, where the feedback is a model's.
    """

    kind: str
    makes: str
    words: Callable[[Place], Words]
    needs: tuple[str, ...] = ()
    method: str = ""
    once: bool = False
    repeats: bool = True
    marks: bool = True
    revised: bool = False

    @property
    def folder(self) -> str:
        """The folder that the step makes, or its file where it makes no folder."""
        return self.makes.partition("/")[0]


def _generate(at: Place) -> Words:
    settings = at.settings
    seeds = ("--seeds", settings.seeds) if settings.seeds is not None else ()
    return (
        *("generate", "--model", settings.model, "--target", str(settings.target)),
        *("--out", at.shared("run"), *seeds, *at.engine, *at.seed, "--resume"),
    )


def _revise(at: Place) -> Words:
    return ("revise", at.shared("run"), *at.principles, *at.engine)


def _answers(at: Place) -> Words:
    """Return the option that has revisions in the place of the outputs that they revise."""
    return ("--answers", "prefer-revision") if at.settings.by_principles else ()


def _export(at: Place) -> Words:
    out = ("--format", "messages", "--out", at.shared("sft.jsonl"))
    return ("export", at.shared("run"), *out, *_answers(at))


def _trained(kind: str, data: str, model: str, out: str, *more: str) -> Words:
    """Return the command of a training.

    One epoch: more training on its own text harms a small model (docs/results.md), and a second
    one memorises so few pairs (docs/alignment.md).
    """
    return (
        *("train", kind, "--data", data, "--model", model, "--out", out),
        *(*more, "--epochs", "1"),
    )


def _sft(at: Place) -> Words:
    words = _trained("sft", at.shared("run"), at.settings.model, at.shared("sft"))
    return (*words, *_answers(at), *at.seed, "--resume")


def _prefer(at: Place) -> Words:
    labels: Words = ()
    if at.settings.by_principles:
        labels = ("--labeller", "principles", "--judge", at.settings.model, *at.principles)
    return (
        *("prefer", at.shared("run"), "--policy", at.policy, "--out", at.own("preferences")),
        *(*labels, *at.engine, *at.seed, "--resume"),
    )


def _reward(at: Place) -> Words:
    """Train on the pairs of all iterations so far, and test on those held out by this one."""
    # Here, since the help of the command line reads this list, and must load nothing heavy.
    from selfinstruct.inputs.own_folders import HELD_OUT, TRAIN

    data: Words = ("--data", at.own("preferences"))
    if at.iteration:
        folders = [at.of(number + 1, "preferences") for number in range(at.iteration)]
        data = tuple(word for each in folders for word in ("--data", f"{each}/{TRAIN}"))
        data += ("--validation-data", f"{folders[-1]}/{HELD_OUT}")
    model = ("--model", at.shared("sft"), "--out", at.own("reward"))
    return ("train", "reward", *data, *model, *at.seed, "--resume")


def _sft_chosen(at: Place) -> Words:
    folders = at.own("preferences"), at.policy, at.own("sft-chosen")
    return (*_trained("sft", *folders, "--field", "chosen"), *at.seed, "--resume")


def _choose(at: Place) -> Words:
    return (
        *("best-of", at.shared("run"), "--policy", at.policy, "--out", at.own("choices")),
        *("--labeller", "reward", "--reward-model", at.own("reward")),
        *(*at.engine, *at.seed, "--resume"),
    )


def _best_of(at: Place) -> Words:
    from selfinstruct.inputs.own_folders import BEST

    folders = f"{at.own('choices')}/{BEST}", at.policy, at.own("best-of")
    return (*_trained("sft", *folders), *at.seed, "--resume")


def _dpo(at: Place) -> Words:
    words = _trained("dpo", at.own("preferences"), at.policy, at.own("dpo"))
    return (*words, "--fresh", str(_FRESH), *at.seed, "--resume")


def _kto(at: Place) -> Words:
    words = _trained("kto", at.own("preferences"), at.policy, at.own("kto"))
    return (*words, *at.seed, "--resume")


def _rl(at: Place) -> Words:
    gold = at.settings.gold
    return (
        *("train", "rl", "--data", at.shared("run"), "--model", at.policy, "--out", at.own("rl")),
        *("--reward", f"model:{at.own('reward')}", *(("--gold", gold) if gold else ())),
        *("--steps", str(_STEPS), "--k", "4", "--fresh", str(2 * _FRESH)),
        # Half-way and at the end, however many steps there are.
        *("--set", "eval_steps=0.5", *at.seed, "--resume"),
    )


def _distill(at: Place) -> Words:
    """Distil the shipped prompt: the teacher is the same policy, and reads it."""
    return (
        *("train", "distill", "--data", at.shared("run"), "--model", at.policy),
        *("--prompt", PROMPT, "--out", at.own("distill"), "--steps", str(_STEPS)),
        *("--fresh", str(2 * _FRESH), "--set", "eval_steps=0.5", *at.seed, "--resume"),
    )


# The first file of any answers: the command that writes them continues by itself.
_ANSWERED = "run/answers/00000/answers.json"


def _answered(at: Place, *how: str) -> Words:
    """Have the policy answer the closed tasks of the run itself."""
    return ("answer", at.shared("run"), "--model", at.policy, *how, *at.engine)


def _voted(at: Place) -> Words:
    return _answered(at, "--votes", "8", "--rationale")


def _reasoned(at: Place) -> Words:
    return _answered(at, "--rationale", "--keep-if-match")


def _learnt(at: Place, whose: str, folder: str) -> Words:
    """Fine-tune the policy on its own answers to closed tasks."""
    words = _trained("sft", at.shared("run"), at.policy, at.own(folder), "--answers", whose)
    return (*words, *at.seed, "--resume")


def _evaluate(at: Place) -> Words:
    models, judge = at.contestants, at.settings.judge
    named = [word for one in models for word in ("--model", f"{one.name}={one.model}")]
    told = [f"{one.name}={one.system}" for one in models if one.system]
    judged: Words = ()
    if judge is not None:
        judged = ("--judge", judge, "--judge-tasks", str(_JUDGED))
    return (
        *("evaluate", *named, *(word for text in told for word in ("--system", text))),
        *("--out", at.shared("evaluation"), *judged, *at.engine),
    )


STEPS: tuple[Step, ...] = (
    Step("generate", "run/run.yaml", _generate, once=True, marks=False),
    Step(
        REVISE, "run/revisions/00000/revisions.json", _revise, ("generate",), once=True, marks=False
    ),
    Step("export", "sft.jsonl", _export, ("generate",), once=True, marks=False, revised=True),
    Step(
        "sft",
        "sft/training.json",
        _sft,
        ("generate",),
        "fine-tuning on the run's answers; every other method starts from it",
        once=True,
        repeats=False,
        revised=True,
    ),
    Step("prefer", "preferences/report.json", _prefer, ("generate", "sft")),
    Step("reward", "reward/training.json", _reward, ("prefer", "sft")),
    Step(
        "sft-chosen",
        "sft-chosen/training.json",
        _sft_chosen,
        ("prefer", "sft"),
        "imitation of the chosen answers: fine-tuning on them, without the rejected ones",
    ),
    Step("choose", "choices/report.json", _choose, ("generate", "reward", "sft")),
    Step(
        "best-of",
        "best-of/training.json",
        _best_of,
        ("choose", "sft"),
        "fine-tuning on the best of 8 answers to each task, by a reward model",
        repeats=False,  # it trains on all tasks, and leaves none to draw the curve on
    ),
    Step(
        "dpo",
        "dpo/training.json",
        _dpo,
        ("prefer", "sft"),
        "direct preference optimisation on the pairs",
    ),
    Step(
        "kto",
        "kto/training.json",
        _kto,
        ("prefer", "sft"),
        "Kahneman-Tversky optimisation on the answers of the pairs, each good or bad",
    ),
    Step(
        "rl",
        "rl/training.json",
        _rl,
        ("generate", "reward", "sft"),
        "policy gradients (RLOO) on a reward model of the pairs",
    ),
    Step(
        "distill",
        "distill/training.json",
        _distill,
        ("generate", "sft"),
        "distillation of a helpful, honest and harmless prompt into the policy",
        repeats=False,  # it learns from no labels, which an iteration would renew
    ),
    Step("vote", _ANSWERED, _voted, ("generate", "sft"), marks=False),
    Step(
        "votes",
        "votes/training.json",
        lambda at: _learnt(at, "votes", "votes"),
        ("vote", "sft"),
        "fine-tuning on the majority of 8 rationales to each closed task (self-consistency)",
        repeats=False,  # as best-of
    ),
    Step("reason", _ANSWERED, _reasoned, ("generate", "sft"), marks=False),
    Step(
        "star",
        "star/training.json",
        lambda at: _learnt(at, "rationales", "star"),
        ("reason", "sft"),
        "fine-tuning on rationales that reach the known answers of closed tasks (STaR)",
        repeats=False,  # as best-of
    ),
    Step("evaluate", "evaluation/report.json", _evaluate, ("sft",), once=True),
)
KINDS = tuple(step.kind for step in STEPS)
METHODS = tuple(step for step in STEPS if step.method)
_BY_KIND = {step.kind: step for step in STEPS}


def step_of(kind: str) -> Step:
    """Return the step of a kind that exists."""
    return _BY_KIND[kind]


def method_named(name: str) -> str:
    """Return the name of a method.

    Raises:
        ConfigError: there is none of that name.
    """
    names = [step.kind for step in METHODS]
    if name not in names:
        raise ConfigError(
            f"--method {name}: there is no such method; {did_you_mean(name, names)}give one of "
            f"{', '.join(names)}"
        )
    return name


def needed(methods: tuple[str, ...], *, repeated: bool, by_principles: bool = False) -> list[Step]:
    """Return the steps that methods need, in their order.

    Iterations train a reward model too, whatever the method: the curve measures by it.

    Args:
        methods: their names.
        repeated: whether there are iterations.
        by_principles: whether answers are revised and labelled by principles.
    """
    found = {"export", "evaluate", *((REVISE,) if by_principles else ())}
    ahead = [*found, *methods, *(("reward",) if repeated else ())]
    while ahead:
        kind = ahead.pop()
        found.add(kind)
        ahead += [need for need in step_of(kind).needs if need not in found]
    return [step for step in STEPS if step.kind in found]
