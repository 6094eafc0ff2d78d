"""What the candidates of a run are checked by, besides the pool and the thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from selfinstruct.common.records import Markers
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.instance_rules import InstanceChecks
from selfinstruct.filters.rule import Checks, Of, Rule, When, checks_of
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.prompts import PromptLibrary


@dataclass(frozen=True)
class Rulebook:
    """The config of a run and its templates.

    config: which rules are on, their limits, and the version of the rules.
    prompts: the templates; a completion is read by their markers.
    """

    config: RunConfig
    prompts: PromptLibrary

    @property
    def version(self) -> int:
        """Version of the rules that the run was made by."""
        return self.config.rules_version

    @property
    def markers(self) -> Markers:
        """The words that stand before inputs, outputs and labels."""
        return self.prompts.markers

    def rules(self, of: Of, first: When = When.READ, last: When = When.LAST) -> list[Rule]:
        """Return the rules on instructions or instances, from one step of the flow to another."""
        return [rule for rule in rules_in_force(of, self.version) if first <= rule.when <= last]

    @cached_property
    def on_instruction_texts(self) -> Checks:
        """Checks on the text of an instruction."""
        return checks_of(self.rules(Of.INSTRUCTION, When.TEXT, When.TEXT), self.config)

    @cached_property
    def on_instruction_scores(self) -> Checks:
        """Checks on the likelihood and the novelty of an instruction."""
        return checks_of(self.rules(Of.INSTRUCTION, When.LIKELIHOOD, When.NOVELTY), self.config)

    @cached_property
    def on_instance_texts(self) -> InstanceChecks:
        """Checks on the text of an instance, and on those of an instruction among themselves."""
        return InstanceChecks.of(self.rules(Of.INSTANCE), self.config)

    @cached_property
    def on_instance_scores(self) -> Checks:
        """Checks on the likelihood of an instance."""
        return checks_of(self.rules(Of.INSTANCE, When.LIKELIHOOD, When.LIKELIHOOD), self.config)

    @cached_property
    def own_lines(self) -> frozenset[str]:
        """The lines of the proposal templates themselves, casefolded."""
        return self.prompts.own_lines(self.version)
