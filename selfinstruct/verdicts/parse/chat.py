"""What a model says to its user around an answer: "Sure, here is a poem:", "I hope this helps!".

Only the words of an assistant are cut, and only where what is left stands alone. "Here are three
tips:" may be the answer's own first line, so it stays. Words of several languages are known.
"""

from __future__ import annotations

import re

from selfinstruct.verdicts.parse.spans import Span, block, trimmed

# Longest opening, in characters: a longer one says something.
_LONGEST = 240

_YES = (
    r"(?:sure(?: thing)?|certainly|of course|absolutely|definitely|gladly|no problem|okay|ok"
    r"|alright|all right|great|got it|understood|with pleasure"
    r"|natürlich|gerne?|selbstverständlich|klar|sicher|bien sûr|d'accord|claro(?: que sí)?"
    r"|por supuesto|com certeza|certo|certamente|конечно|chắc chắn(?: rồi)?|tất nhiên(?: rồi)?"
    r"|vâng|dạ|được(?: thôi| rồi)?|当然(?:可以)?|好的|没问题|可以"
    r"|もちろん(?:です)?|はい|承知しました|물론(?:입니다|이죠)?)"
)
_HELP = (
    r"(?:i['’]?(?:d| would| will|['’]?ll) be (?:happy|glad|delighted) to [^.!\n]{0,120}[.!]"
    r"|i(?:['’]ll| will| can) (?:help|assist)(?: you)?(?: with (?:that|this))?[.!]"
    r"|ich helfe (?:dir|ihnen) gerne?[^.!\n]{0,60}[.!])"
)
_HERE = (
    r"(?:here(?:['’]s| is| are)|below (?:is|are)|this is|these are|the following (?:is|are)"
    r"|hier (?:ist|sind|kommt|finden sie)|nachfolgend|folgende[nrs]?|voici|voilà"
    r"|aquí (?:tienes?|está)"
    r"|aqui está|ecco|вот|dưới đây là|sau đây là|đây là"
    r"|以下是|下面是|这是|这里是|以下は|以下に|다음은)"
)
# The words that only an assistant says: a thing that it wrote, in the singular.
_MINE = (
    r"(?:here(?:['’]s| is) (?:a|an|the|my|your|one|another)\b"
    r"|hier ist (?:ein|eine|einen|der|die|das)\b"
    r"|voici (?:un|une|le|la)\b|dưới đây là (?:một|bài|câu)|以下是(?:一|您|你))"
)
# Announced in the first person; only after a "Sure".
_I = r"(?:i(?:['’](?:ve|ll|d)| have| will| can) \w+|let(?:['’]s| me) \w+)"
# What an answer is called where it follows its announcement on the same line.
_RESULT = re.compile(
    r"\b(?:answer|sentence|version|translation|summary|response|solution|output|result|rewritten"
    r"|corrected|revised|improved|edited|updated|completed|antwort|satz|übersetzung)\b",
    re.IGNORECASE,
)
_ALONE = re.compile(
    r"(?:sure(?: thing)?|certainly|of course|natürlich|gerne?|bien sûr"
    r"|好的|当然(?:可以)?)[!.！。]\s*\n",
    re.IGNORECASE,
)
# "Certainly! A palindrome is a word that …": the sentence stands alone.
_EXCLAIMED = re.compile(r"(?:sure(?: thing)?|certainly|of course)![ \t]+", re.IGNORECASE)
_YES_START = re.compile(rf"¡?{_YES}[ \t]*[,!.，！。、:：]?(?=\W|[^\x00-\x7f])", re.IGNORECASE)
_HELP_START = re.compile(_HELP, re.IGNORECASE)
_HERE_START = re.compile(_HERE, re.IGNORECASE)
_POLITE_START = re.compile(rf"(?:{_HERE}|{_I})", re.IGNORECASE)
_MINE_START = re.compile(_MINE, re.IGNORECASE)
_COLON = re.compile(r":[*_]{0,3}[ \t]{1,4}|：")
_NEW_START = re.compile(r"[\"“„«「'‘*_`]{0,4}(?:[A-ZÀ-ÞА-ЯΑ-Ω0-9]|[^\W\d_])")
# Behind an opening this asks the user for what is missing: no answer stands alone there.
_ASKS_BACK = re.compile(
    r"(?:please |could you |can you |would you |what |which |do you )[^\n]{0,80}"
    r"\b(?:provide|share|give me|tell me|send|would you like|do you (?:want|need|have)|me to)\b"
    r"[^\n]{0,120}\Z",
    re.IGNORECASE,
)

_CLOSING = re.compile(
    r"(?:i hope (?:this|that|it|these|you)\b|hope (?:this|that|it) helps"
    r"|(?:please )?(?:let me know|feel free to (?:ask|let me know|reach out|contact me))\b"
    r"|(?:is there|would you like|do you (?:need|want|have any)|can i (?:help|assist))\b[^\n]*\?"
    r"|if you(?:['’]d like| have| need| want| would like)\b[^\n]*"
    r"(?:let me know|feel free|just ask|please ask|happy to help)"
    r"|ich hoffe,? das hilft|lass (?:es )?mich (?:wissen|es wissen)|wenn (?:du|sie) (?:noch )?"
    r"(?:weitere )?fragen|j'espère que|n'hésitez pas|espero que (?:esto|te|le)|hy vọng"
    r"|希望(?:这|對|对|以上)|如果(?:你|您)(?:有|还|需要)|如有(?:任何|其他)|お役に立て)",
    re.IGNORECASE,
)
# What an assistant offers, and no letter or message to somebody else does.
_OFFER = re.compile(
    r"help|assist|anything else|further|more (?:tasks|examples|information|details|questions)"
    r"|other (?:questions|tasks)|any questions|questions|adjust|changes|modif|expand|clarif"
    r"|would you like|hilft|fragen|aidera|questions|ayude|giúp|帮助|幫助|问题|役に立",
    re.IGNORECASE,
)
_LETTER = re.compile(
    r"^\W{0,3}(?:dear|hi|hello|hey|subject|sincerely|best|regards|thank you|thanks|cheers|yours"
    r"|liebe[rs]?|sehr geehrte|hallo|cher|chère|bonjour|estimad[oa]|kính gửi|尊敬的|亲爱的)\b",
    re.IGNORECASE | re.MULTILINE,
)


def opening_end(text: str, start: int, end: int) -> int:
    """Return where an answer starts behind its chat opening; `start` if it has none.

    Args:
        text: the completion.
        start: start of the answer.
        end: its end.
    """
    left, right = trimmed(text, start, end)
    place = _after_yes(text, left, right)
    agreed = place > left
    helped = _HELP_START.match(text, place, right)
    if helped:
        place = _after_space(text, helped.end(), right)
    announced = _after_announcement(text, place, right, polite=agreed or helped is not None)
    if announced is None:
        exclaimed = _EXCLAIMED.match(text, left, right)
        stands_alone = exclaimed is not None and _starts_anew(text, exclaimed.end())
        if not (helped or stands_alone or _ALONE.match(text, left, right)):
            return start
    else:
        place = announced
    rest = text[place:right].strip(" \t\n*_#-:：.")
    return place if rest and not _ASKS_BACK.match(rest) else start


def closing_start(text: str, start: int, end: int) -> int:
    """Return where the chat at the end of an answer starts; `end` if there is none.

    It is the last paragraph, and the answer is no letter: in one, "Let me know if you have any
    questions." is the writer's own.
    """
    left, right = trimmed(text, start, end)
    gap = text.rfind("\n\n", left, right)
    if gap < 0:
        return end
    last = trimmed(text, gap, right)
    words = text[last.start : last.end]
    if len(words) > _LONGEST or not _CLOSING.match(words) or not _OFFER.search(words):
        return end
    return end if _LETTER.search(text[left:gap]) else gap


def without_chat(text: str, span: Span) -> tuple[Span, str | None]:
    """Return an answer's span without opening and closing, and the words that were cut."""
    start = opening_end(text, span.start, span.end)
    end = closing_start(text, start, span.end)
    if (start, end) == (span.start, span.end):
        return span, None
    return block_between(text, span, start, end), cut_words(
        text, (span.start, start), (end, span.end)
    )


def block_between(text: str, span: Span, start: int, end: int) -> Span:
    """Return the part of a span that is left; its first line keeps its indentation."""
    return (
        block(text, start, end)
        if start > span.start
        else Span(span.start, trimmed(text, start, end).end)
    )


def cut_words(text: str, *ranges: tuple[int, int]) -> str | None:
    """Return the words of ranges that were cut, one a line; None if there are none."""
    words = [text[start:end].strip() for start, end in ranges]
    return "\n".join(word for word in words if any(map(str.isalnum, word))) or None


def is_announcement(text: str) -> bool:
    """Whether a text only announces what follows: "Here are eight more tasks:"."""
    text = text.strip()
    if len(text) > _LONGEST or not text.endswith((":", "：", "!", "！", ".", "。", "**")):
        return False
    start = _after_yes(text, 0, len(text))
    return start == len(text) or bool(
        _HERE_START.match(text, start) or _HELP_START.match(text, start)
    )


def _after_yes(text: str, start: int, end: int) -> int:
    """Return the place behind "Sure," and the like."""
    match = _YES_START.match(text, start, end)
    if match is None:
        return start
    return _after_space(text, match.end(), end)


def _after_space(text: str, start: int, end: int) -> int:
    return end - len(text[start:end].lstrip())


def _after_announcement(text: str, start: int, end: int, *, polite: bool) -> int | None:
    """Return the place behind "here is a poem:"; None if there is no announcement."""
    pattern = _POLITE_START if polite else _MINE_START
    if not pattern.match(text, start, end):
        return None
    limit = min(end, start + _LONGEST)
    newline = text.find("\n", start, limit)
    line = text[start : limit if newline < 0 else newline]
    if line.rstrip(" \t*_").endswith((":", "：")) and newline >= 0:
        return newline + 1
    colon = _COLON.search(line)
    if colon and _starts_anew(text, start + colon.end()):
        return start + colon.end() if polite or _RESULT.search(line, 0, colon.start()) else None
    is_sentence = line.rstrip().endswith((".", "!", "。", "！"))
    return newline + 1 if polite and newline >= 0 and is_sentence else None


def _starts_anew(text: str, place: int) -> bool:
    """Whether the text goes on with a new sentence: no lower case letter."""
    match = _NEW_START.match(text, place)
    return match is not None and not match.group()[-1].islower()
