"""The passages of a run's documents: those about which a task could be accepted."""

from __future__ import annotations

from selfinstruct.common.paths import user_path
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.length import WORDS
from selfinstruct.filters.rule import InstanceFacts, Of, When, first_failure
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.inputs.documents import PassageSize, passages_bytes, read_documents

# An output that no rule rejects: what is checked is the input.
_ANY_OUTPUT = "It is."


def document_passages(config: RunConfig) -> bytes:
    """Return the content of a run's `passages.jsonl`, from the documents that its config names.

    Raises:
        ConfigError: they cannot be read; names the file.
    """
    version = config.rules_version
    rules = [rule for rule in rules_in_force(Of.INSTANCE, version) if rule.when is When.TEXT]

    def problem(text: str) -> str | None:
        failure = first_failure(rules, InstanceFacts("", text, _ANY_OUTPUT), config)
        return failure.reason if failure else None

    limits = config.passages
    size = PassageSize(limits.least_words, limits.most_words, WORDS.at(version))
    path = user_path(config.documents or "", "--documents")
    return passages_bytes(read_documents(path, size, problem))
