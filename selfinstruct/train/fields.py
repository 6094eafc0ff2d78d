"""The user's fields of TRL's configuration: checked by name, type and package, before a model.

A field is wrong for one of these reasons, and each has its message: TRL lacks it, selfinstruct
sets it, its value is of another type, its value cannot be, or it needs a package.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.installing import install_line
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.common.texts import shown

# The least value of fields whose wrong values fail late, or not at all.
_LEAST: Mapping[str, float] = {
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 0,
    "weight_decay": 0,
    "max_grad_norm": 0,
    "adam_epsilon": 0,
    "neftune_noise_alpha": 0,
}
# (module, package) that a field needs once it is set, and an optimizer by the start of its name.
_PACKAGES: Mapping[str, tuple[str, str]] = {
    "use_liger_kernel": ("liger_kernel", "liger-kernel"),
    "deepspeed": ("deepspeed", "deepspeed"),
}
_OPTIMIZERS: Mapping[str, tuple[str, str]] = {
    "adamw_bnb": ("bitsandbytes", "bitsandbytes"),
    "paged": ("bitsandbytes", "bitsandbytes"),
    "adamw_8bit": ("bitsandbytes", "bitsandbytes"),
    "lion": ("bitsandbytes", "bitsandbytes"),
    "ademamix": ("bitsandbytes", "bitsandbytes"),
    "rmsprop_bnb": ("bitsandbytes", "bitsandbytes"),
    "galore": ("galore_torch", "galore-torch"),
    "lomo": ("lomo_optim", "lomo-optim"),
    "adalomo": ("lomo_optim", "lomo-optim"),
    "grokadamw": ("grokadamw", "grokadamw"),
    "schedule_free": ("schedulefree", "schedulefree"),
    "adamw_torch_4bit": ("torchao", "torchao"),
    "adamw_torch_8bit": ("torchao", "torchao"),
    "stable_adamw": ("optimi", "torch-optimi"),
    "apollo": ("apollo_torch", "apollo-torch"),
}
# Trackers whose package has another name than theirs: (module, package).
_TRACKERS: Mapping[str, tuple[str, str]] = {
    "azure_ml": ("azureml", "azureml-mlflow"),
    "comet_ml": ("comet_ml", "comet-ml"),
    "flyte": ("flytekit", "flytekit"),
    "kubeflow": ("kubeflow", "kubeflow"),
}
_LISTS = ("none", "all")


def checked_fields(
    config_class: Any, options: Mapping[str, Any] | None, reserved: frozenset[str]
) -> dict[str, Any]:
    """Return the user's fields, each as a value of its type.

    Args:
        config_class: TRL's configuration.
        options: the fields, as the user wrote them.
        reserved: fields that only the recipe may set.

    Raises:
        ConfigError: a field or its value cannot be used. Says why, and what to do.
    """
    options = dict(options or {})
    known = {field.name for field in fields(config_class)}
    for name in options.keys() - known:
        raise ConfigError(
            f"--set {name}: TRL's {config_class.__name__} has no such field; "
            f"{did_you_mean(name, known)}see its documentation for all of them"
        )
    wrong = sorted(reserved & options.keys())
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: set by selfinstruct itself; use its own option")
    hints = _hints(config_class)
    checked = {name: _typed(name, value, hints.get(name)) for name, value in options.items()}
    _check_packages(checked)
    return checked


def _hints(config_class: Any) -> dict[str, Any]:
    try:
        return get_type_hints(config_class)
    except NameError:  # a name that is imported for type checkers alone
        return {}


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Return a value of the field's type.

    Raises:
        ConfigError: it is of another type, or too small.
    """
    if hint is None:
        return value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter: TypeAdapter[Any] = TypeAdapter(
            hint, config=ConfigDict(arbitrary_types_allowed=True)
        )
    takes_text = _takes(adapter, "a text")
    if isinstance(value, bool) and takes_text and not _takes(adapter, value):
        # YAML reads `no` as false, which is the name of a strategy.
        value = "no" if value is False else "yes"
    elif isinstance(value, int | float) and takes_text and not _takes(adapter, value):
        value = f"{value}"
    try:
        typed = adapter.validate_python(value)
    except ValidationError as error:
        raise ConfigError(
            f"--set {name}={shown(value)}: {error.errors()[0]['msg'].lower()}; the field is of the "
            f"type {_type_name(hint)}"
        ) from error
    least = _LEAST.get(name)
    if least is not None and isinstance(typed, int | float) and not typed >= least:
        raise ConfigError(f"--set {name}={shown(value)}: is too small; give {least:g} or more")
    return typed


def _takes(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _check_packages(options: Mapping[str, Any]) -> None:
    """Refuse a field that needs a package which is not installed.

    Raises:
        ConfigError: names the package, and the command that installs it.
    """
    for name, package in _PACKAGES.items():
        if options.get(name):
            _require(name, options[name], *package)
    optimizer = str(options.get("optim", ""))
    for start, package in _OPTIMIZERS.items():
        if optimizer.startswith(start):
            _require("optim", optimizer, *package)
    trackers = options.get("report_to")
    for tracker in [trackers] if isinstance(trackers, str) else trackers or ():
        _check_tracker(tracker)


def _check_tracker(tracker: str) -> None:
    if tracker in _LISTS:
        return
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )

    if tracker not in INTEGRATION_TO_CALLBACK:
        raise ConfigError(
            f"--set report_to={tracker}: transformers knows no such tracker; "
            f"{did_you_mean(tracker, INTEGRATION_TO_CALLBACK)}there are: none, "
            f"{', '.join(sorted(INTEGRATION_TO_CALLBACK))}"
        )
    if tracker not in get_available_reporting_integrations():
        module, package = _TRACKERS.get(tracker, (tracker, tracker))
        _require("report_to", tracker, module, package)


def _require(name: str, value: Any, module: str, package: str) -> None:
    if find_spec(module) is None:
        raise ConfigError(
            f"--set {name}={shown(value)}: needs the package {package}, which is not installed; "
            f"install it with: {install_line(package)}"
        )
