"""Prompts: Jinja templates, the words they share with the parser, and their exemplars.

A folder of templates holds `<name>.base.jinja` (raw text that the model continues) and
`<name>.chat.jinja` (turns of a conversation) for `propose`, `classify`, `input_first`,
`output_first`, `direct` (chat only), `task.jinja` (the canonical encoding of a task for
training), and `prompts.yaml` (markers, stop strings, exemplars). A user's folder replaces
the files it has; the other files are the shipped ones.
"""

from selfinstruct.prompts.fewshot import Exemplar, FewShot, choose_fewshot
from selfinstruct.prompts.library import PromptLibrary, load_prompts, prompts_from_files

__all__ = [
    "Exemplar",
    "FewShot",
    "PromptLibrary",
    "choose_fewshot",
    "load_prompts",
    "prompts_from_files",
]
