"""The ways to train. A new one is a file here and its record in the list."""

from __future__ import annotations

from typing import Any

from selfinstruct.train.recipe import Recipe
from selfinstruct.train.recipes.distill import DISTILL
from selfinstruct.train.recipes.dpo import DPO
from selfinstruct.train.recipes.kto import KTO
from selfinstruct.train.recipes.reward import REWARD
from selfinstruct.train.recipes.rl import RL
from selfinstruct.train.recipes.sft import SFT

RECIPES: tuple[Recipe[Any, Any, Any], ...] = (SFT, DPO, KTO, REWARD, RL, DISTILL)
