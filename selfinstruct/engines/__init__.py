"""Engines complete prompts, many at a time."""

from selfinstruct.engines.base import Capabilities, Engine, EngineUsage

__all__ = ["Capabilities", "Engine", "EngineUsage"]
