"""Models by name: a model that comes in packages, a folder, or a name on the model hub."""

from selfinstruct.models.catalogue import CATALOGUE, Progress, is_prepared, prepared_path
from selfinstruct.models.prepare import prepare_model
from selfinstruct.models.resolve import check_model, hub_errors, resolve_model

__all__ = [
    "CATALOGUE",
    "Progress",
    "check_model",
    "hub_errors",
    "is_prepared",
    "prepare_model",
    "prepared_path",
    "resolve_model",
]
