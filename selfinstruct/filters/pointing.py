"""Whether an instruction refers to something given that it does not contain (version 3, English).

“In an array”, “the given year” of a function that is to be written, and “the following week” of a
story point to nothing.
"""

from __future__ import annotations

import re

from selfinstruct.common.scan import folded, has_any

# Things that an instruction can point to; they must then be in the input.
_THING = (
    r"(?:sentences?|texts?|paragraphs?|passages?|words?|lists?|numbers?|phrases?|e-?mails?|"
    r"messages?|reviews?|statements?|notes?|code|snippets?|tables?|data|recipes?|poems?|"
    r"items?|stor(?:y|ies)|quotes?|headlines?|conversations?|dialogues?|equations?|functions?|"
    r"articles?|essays?|tweets?|letters?|documents?|questions?|facts?|lyrics|transcripts?)"
)
_TIME = (
    r"(?:days?|weeks?|months?|years?|mornings?|evenings?|nights?|seasons?|summer|winter|decades?)"
)
_ASKS = (
    r"(?:is|was|are|were|do|does|did|has|have|had|can|could|will|would|should|may|might|how|why|"
    r"what|when|where|who|if)"
)
_POINTS_ANYWHERE = re.compile(
    # the given sentence, the following, given a list, the text below
    rf"\bthe (?:\w+ )?(?:given|following|provided|attached|above)\b(?! {_TIME}\b)"
    rf"|\b(?:given|following) (?:an? |the |two |three |some )?(?:\w+ )?{_THING}\b"
    r"|\bbelow\b(?=$|[.,;:?!)]| (?:and|or|to|into|in|so|as|using|with|by|from|that|is|are)\b)"
    r"|\bthe input\b",
    re.IGNORECASE,
)
_POINTS_WORDS = ("given", "following", "provided", "attached", "above", "below", "the input")
_POINTS_AT_START = re.compile(
    # rewrite it; summarize the text in one sentence
    rf"(?!{_ASKS}\b)\w+ (?:(?-i:it)|this|them|these|those|"
    r"that(?=$|[.,;]| (?:in|into|to|so|as|and|using)\b))\b"
    r"(?! (?:is|are|was|you|we|can|makes?|\w+ of)\b)"
    r"|(?!\w+ (?:is|are|was|were|has|have|had|will|can|does|did)\b)(?:\w+ ){1,6}"
    rf"the (?!periodic|multiplication|round|water)(?:\w+ )?{_THING}"
    r"(?: of (?:numbers|words|items|names|ingredients))?"
    r"(?=$|[.,;:?!)]| (?:in|into|to|so|as|and|or|using|without|with|by|for x|from|that|which|is|"
    r"are)\b(?! (?:your|my|which)\b))",
    re.IGNORECASE,
)
# this sentence: it may be the one before.
_THIS = re.compile(rf"\b(?:this|these|the next) (?:\w+ )?{_THING}\b", re.IGNORECASE)
_THIS_WORDS = ("this", "these", "the next")
_SENTENCE_END = re.compile(r"[.!?]\s")
_SHOWN = re.compile(
    r"[\"“”`]|:\s*\S|\[[^\[\]]{0,399}[^\]]\]|\{[^{}]{0,399}[^}]\}|\b1[.)] ?\S"
    r"|\ba[.)] ?\S.{1,200}\bb[.)] ?\S"
)
_SHOWN_BY = (*'"“”`:[{', "1.", "1)", "a.", "a)")
# A program gets its input later.
_PROGRAM = re.compile(
    r"^\W{0,9}(?:(?:please|can you|could you|how (?:do|can|would) (?:i|you)) )?"
    r"(?:write|create|implement|design|build|develop|define|construct|generate|make|code|complete|"
    r"give|show|provide|you (?:are|have|will|need|should|must)|your task)\b.{0,80}"
    r"\b(?:functions?|programs?|methods?|class|scripts?|algorithms?|quer(?:y|ies)|regex|"
    r"regular expressions?|macros?|modules?|subroutines?|procedures?|loops?|formulas?)\b"
    r"|\breturns? (?:the|a|an|true|false|none|null|only|if|whether|how|all|\w+ if)\b"
    r"|\b(?:in|an|the|of) (?:an? |the )?(?:given )?(?:non-?empty )?"
    r"(?:arrays?|linked list|binary tree|matrix|integers?|strings?)\b",
    re.IGNORECASE,
)
_PROGRAM_WORDS = (
    *("function", "program", "method", "class", "script", "algorithm", "quer", "regex"),
    *("regular expression", "macro", "module", "subroutine", "procedure", "loop", "formula"),
    *("return", "array", "linked list", "binary tree", "matrix", "integer", "string"),
)
_ANNOUNCES = re.compile(
    rf"\b(?:following|below|given|this|these|the|an?) (?:[\w-]+ ){{0,3}}{_THING}:$"
    r"|^(?:translate|summari[sz]e|rewrite|paraphrase|correct|proofread|classify|simplify|solve|edit|"
    r"convert|shorten|rephrase|explain|analy[sz]e|complete|fix|evaluate|answer|identify|sort|"
    r"continue|improve|extract|find|categori[sz]e|calculate|compute)\b.{0,120}:$",
    re.IGNORECASE,
)

# The answer goes on from here.
_GOES_ON_AFTER = re.compile(
    r"\b(?:examples?|steps|tips|reasons|ways|rules|things|as follows|options|ideas|facts|"
    r"(?:these|following) (?:\w+ ){1,2}\w+):$",
    re.IGNORECASE,
)
# `$` matches before a line break at the end too.
_COLONS = (":", ":\n")


def announces_input(instruction: str) -> bool:
    """Whether an instruction ends with a colon, and its input is to follow."""
    return instruction.endswith(_COLONS) and bool(_ANNOUNCES.search(instruction))


def announces_output(instruction: str) -> bool:
    """Whether an instruction ends with a colon, and its answer goes on from there."""
    return instruction.endswith(_COLONS) and bool(_GOES_ON_AFTER.search(instruction))


def lacks_what_it_points_to(instruction: str) -> bool:
    """Whether the instruction refers to something given that it does not contain."""
    if announces_input(instruction):
        return True
    # No pattern matches a text that has none of its words.
    if has_any(instruction, _SHOWN_BY) and _SHOWN.search(instruction):
        return False
    low = folded(instruction)
    if has_any(low, _PROGRAM_WORDS) and _PROGRAM.search(instruction):
        return False
    if has_any(low, _POINTS_WORDS) and _POINTS_ANYWHERE.search(instruction):
        return True
    if _POINTS_AT_START.match(instruction):
        return True
    this = _THIS.search(instruction) if has_any(low, _THIS_WORDS) else None
    return this is not None and not _SENTENCE_END.search(instruction, 0, this.start())
