"""What the scripted model of the golden runs writes: good tasks, and every kind of bad one.

A text depends on the run's voice and on a request's id, stage and seed alone. Which kind of
item a candidate is follows from its id (`kind_of_item`), so that its label and instances can
fit it without reading a prompt. Nothing here imports selfinstruct: the runs of older code
were written by this script, too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

# Of 8 words or more: another item may hold it whole.
HELD = "Explain how the old harbour of a small town was built."
SUBJECTS = (
    *("harbour", "violin", "desert", "bakery", "comet", "library", "glacier", "orchard"),
    *("railway", "lantern", "volcano", "museum", "beehive", "castle", "market", "meadow"),
)
VERBS = ("Describe", "Compare", "Explain", "Invent", "Summarize", "Praise", "Defend", "Imagine")
CHINESE = ("春天", "秋天", "大海", "城市", "朋友", "音乐", "食物", "历史", "天空", "森林")

GOOD_ITEMS = (*("plain",) * 10, *("points",) * 7, *("label",) * 5)
BAD_ITEMS = (
    *("repeat", "keyword", "short", "long", "punctuation", "script", "echo", "placeholder"),
    *("refusal", "statement", "chatty", "repetitive", "unfinished", "wordless"),
)
GOOD_ANSWERS = ("good",) * 22
BAD_ANSWERS = (
    *("cut", "placeholder", "refusal", "chatty", "echo", "repetitive", "blank", "colon"),
    *("nothing", "same", "no_input", "twice", "conflict", "many"),
)


@dataclass(frozen=True)
class Voice:
    """How one run's model writes.

    salt: makes its texts unlike those of other runs. first: number of the first new item.
    items: of a proposal. lists, answers: `base` continues a prompt that has begun the text,
    `chat` writes it whole, `direct` answers tasks without an input as they are. tag: before
    each item. chinese: instructions are Chinese. more: kinds of items that are more frequent.
    """

    salt: str
    first: int = 9
    items: int = 5
    lists: str = "base"
    answers: str = "base"
    tag: str = ""
    chinese: bool = False
    input: str = "Input:"
    output: str = "Output:"
    label: str = "Label:"
    yes: str = "label"
    more: tuple[str, ...] = ()

    def __call__(self, asked: Any) -> str | tuple[str, str]:
        if asked.stage == "propose":
            return self._list(asked)
        candidate = asked.id.rsplit("-", 1)[0]
        if asked.stage == "classify":
            return f" {self.yes}" if self.kind_of_item(candidate) == "label" else " text"
        if asked.stage == "answer":
            return self._teachers_answer(asked)
        return self._instances(candidate, asked)

    def thought(self, asked: Any) -> str | None:
        """Return what is thought before an answer, where the model thinks at all."""
        if asked.stage in ("classify", "score"):
            return None
        return f"I think of the {self._subject(asked, 'thought')} first."

    def kind_of_item(self, candidate: str) -> str:
        return _choice(GOOD_ITEMS + BAD_ITEMS + self.more, self.salt, candidate, "item")

    def _list(self, asked: Any) -> str | tuple[str, str]:
        proposal = asked.id.rsplit("-", 1)[0]
        if _draw(7, self.salt, asked.id, "empty") == 0:
            return "" if self.lists == "base" else "There is nothing to list."
        texts = [
            self._item(self.kind_of_item(f"{proposal}-i{number:02d}"), asked, number)
            for number in range(self.items)
        ]
        tag = f"{self.tag} " if self.tag else ""
        lines = [f"{self.first + number}. {tag}{text}" for number, text in enumerate(texts)]
        if self.lists == "base":
            lines[0] = f" {texts[0]}"
        else:
            lines.insert(0, "Here are more tasks:")
        finish = "length" if _draw(5, self.salt, asked.id, "length") == 0 else "stop"
        return "\n".join(lines), finish

    def _item(self, kind: str, asked: Any, number: int) -> str:
        subject = self._subject(asked, f"subject{number}")
        words = " ".join(f"w{_draw(400, asked.seed, number, place)}" for place in range(3))
        verb = _choice(VERBS, asked.seed, number, "verb")
        if self.chinese and kind in ("plain", "label"):
            topics = [_choice(CHINESE, asked.seed, number, place) for place in range(3)]
            return f"请用简单的话介绍{topics[0]}和{topics[1]}，再谈谈{topics[2]}{words[-3:]}。"  # noqa: RUF001
        texts = {
            "plain": f"{verb} the {subject} {words}.",
            "points": f"Rewrite the given sentence about a {subject} and {words}.",
            "label": f"Decide whether the given review of a {subject} {words} is calm or wild.",
            "repeat": "Compare proverb p1 about q1 and r1 today.",
            "keyword": f"Draw a picture of the {subject} {words}.",
            "short": "Sing now.",
            "long": f"{verb} the {subject} " + " ".join(f"long{n}" for n in range(160)) + ".",
            "punctuation": f"- {verb} the {subject} {words}.",
            "script": f"Опишите {subject} и расскажите о нём подробно, пожалуйста.",  # noqa: RUF001
            "echo": f"Task: {verb} the {subject} {words}.",
            "placeholder": f"{verb} the {subject} of [your name] {words}.",
            "refusal": f"As an AI language model I like the {subject} {words}; say why.",
            "statement": f"The {subject} is {words}.",
            "chatty": f"Sure, {verb.lower()} the {subject} {words}.",
            "repetitive": f"{verb} " + "the old red bird and " * 5 + f"the {subject} {words}.",
            "unfinished": f"{verb} the {subject} {words} and the",
            "wordless": "请用一句话介绍你自己和你的家。",
        }
        return texts[kind]

    def _instances(self, candidate: str, asked: Any) -> str | tuple[str, str]:
        kind = self.kind_of_item(candidate)
        how = _choice(GOOD_ANSWERS + BAD_ANSWERS, self.salt, candidate, "answer")
        if kind == "label":
            return self._labels(how, asked)
        if kind != "points" and self.answers == "direct":
            return self._output(how, asked)
        return self._pairs(how, kind == "points", asked)

    def _labels(self, how: str, asked: Any) -> str:
        pairs = [("calm", "a quiet day"), ("wild", "a storm at sea")]
        if how == "many":
            pairs += [("calm", f"day {n} at home") for n in range(5)]
        if how == "conflict":
            pairs.append(("wild", "a quiet day"))
        text = "\n".join(f"{self.label} {label}\n{self.input} {given}" for label, given in pairs)
        begun = self.answers == "base" and _draw(2, asked.seed, "begun") == 0
        return text.removeprefix(self.label) if begun else text

    def _pairs(self, how: str, points: bool, asked: Any) -> str | tuple[str, str]:
        output = self._output(how, asked)
        if how == "nothing":
            return "I do not know." if self.answers != "base" or not points else ""
        text, finish = output if isinstance(output, tuple) else (output, "stop")
        given = (
            f"The {self._subject(asked, 'given')} was {_choice(VERBS, asked.seed, 'g').lower()}d."
        )
        if how == "same":
            return f"{self.input} {given}\n{self.output} {given}"
        if how == "no_input" or (not points and _draw(4, asked.seed, "input") and how == "good"):
            return f"{self.output} {text}", finish
        pairs = [(given, text)]
        if how == "twice":
            pairs *= 2
        if how == "conflict":
            pairs.append((given, "It is another answer."))
        if how == "many":
            pairs += [(f"Case {n}.", f"It is answer {n}.") for n in range(5)]
        written = "\n".join(f"{self.input} {one}\n{self.output} {other}" for one, other in pairs)
        begun = self.answers == "base" and points and _draw(2, asked.seed, "begun") == 0
        return (written.removeprefix(self.input) if begun else written), finish

    def _output(self, how: str, asked: Any) -> str | tuple[str, str]:
        subject = self._subject(asked, "output")
        texts: dict[str, str | tuple[str, str]] = {
            "cut": (f"It was calm at the {subject}. And then the", "length"),
            "placeholder": f"Dear [name], the {subject} is calm.",
            "refusal": "I'm sorry, but I cannot help with that.",
            "chatty": f"Sure, here is a text about the {subject}.",
            "echo": f"Task: look at the {subject}.",
            "repetitive": "it was calm and " * 8 + "it was done.",
            "blank": "- -",
            "colon": f"These are the parts of the {subject}:",
            "nothing": "",
        }
        words = " ".join(f"v{_draw(300, asked.seed, place)}" for place in range(4))
        return texts.get(how, f"It looked calm and {subject}-like, {words}.")

    def _teachers_answer(self, asked: Any) -> str | tuple[str, str]:
        kind = _draw(6, self.salt, asked.id, "teacher")
        if kind == 0:
            return "The answer is that the harbour and", "length"
        if kind == 1:
            return "I'm sorry, but I cannot help with that."
        return f" A thorough answer about the {self._subject(asked, 'teacher')}, {asked.seed % 97}."

    def _subject(self, asked: Any, what: object) -> str:
        return _choice(SUBJECTS, self.salt, asked.seed, what)


class OddVoice(Voice):
    """Writes what a parser must be ready for: marks, nested lists, words for no input, rests."""

    def _list(self, asked: Any) -> str | tuple[str, str]:
        drawn = [(_choice(VERBS, asked.seed, n), self._subject(asked, n)) for n in range(6)]
        texts = [
            f"{verb} the {subject} w{_draw(400, asked.seed, n)}"
            for n, (verb, subject) in enumerate(drawn)
        ]
        n = self.first
        return (
            f' **{texts[0]}**, in verse.\n{n + 1}) "{texts[1]} now."\n\n'
            f"**{n + 2}.** {texts[2]} so:\n1. first its age\n2. then its name.\n"
            f"{n + 4}. {texts[3]}  in\ttwo   words.\n1999. {texts[4]} of a year.\n"
            f"# {n + 5}. {texts[5]} with 2**10 and “marks”.\n{n + 6}."
        )

    def _instances(self, candidate: str, asked: Any) -> str | tuple[str, str]:
        kind = _draw(8, self.salt, candidate, "odd")
        output = f"It is {self._subject(asked, 'output')}-like, v{_draw(300, asked.seed)}."
        given = f"A note n{_draw(300, asked.seed, 'given')}."
        texts: list[str | tuple[str, str]] = [
            f"Input: None.\nOutput: {output}",
            f"Input: <noinput>\n**Output:** {output}\n\nInput: {given}\nOutput: {output}",
            f"**Input:** {given}\n  Output: {output}\nNote that Output: is no marker here.",
            f"Input: {given}\nInput: {given}\nOutput:\n{output}\n- and more.",
            f"\n\nInput: {given}\nOutput: {output}\nInput: a rest that has no out",
            (f"Output: {output}\nOutput: It ends here, and", "length"),
            (f"Input: {given}\nOutput: {output}\nInput: cut off", "length"),
            f"{given}\nOutput: {output}\nLabel: none\nInput: {given}",
        ]
        return texts[kind]


class ThirdVoice(Voice):
    """Writes what version 3 of the rules reads, cuts, and rejects otherwise than version 2.

    Its lists are numbered in many ways. Its instances have labels of many forms, reasoning, and
    chat before the answer.
    """

    def _item(self, kind: str, asked: Any, number: int) -> str:
        text = super()._item(kind, asked, number)
        place = _draw(36, self.salt, asked.seed, number, "own")
        added = {
            **dict.fromkeys((6, 7), HELD),
            **dict.fromkeys((8, 9), f"{text.rstrip('.')}. {HELD} Be calm, kind and brief."),
            0: "Compare proverb p1 about q1 and r1.",
            1: f"{text.rstrip('.')}. Compare proverb p1 about q1 and r1.",
            2: f"What is {number} + {number}? {2 * number}",
            3: f"How old is the {self._subject(asked, number)}? - It is {number} years old.",
            4: f"**{text}**",
            5: f"Decide whether a {self._subject(asked, number)} w{asked.seed % 400} is big: "
            "A or B?",
        }
        return added.get(place, text)

    def _list(self, asked: Any) -> str | tuple[str, str]:
        written = super()._list(asked)
        text, finish = written if isinstance(written, tuple) else (written, "stop")
        marks = (". ", ") ", ": ", ".", "\uff0e", "\u3001")
        mark = marks[_draw(len(marks), asked.seed, "mark")]
        for number in range(self.first, self.first + self.items):
            text = text.replace(f"\n{number}. ", f"\n{number}{mark}")
        return text, finish

    def _pairs(self, how: str, points: bool, asked: Any) -> str | tuple[str, str]:
        written = super()._pairs(how, points, asked)
        text, finish = written if isinstance(written, tuple) else (written, "stop")
        forms = {
            0: (f"**{self.input.rstrip(':')}**:", f"**{self.output.rstrip(':')}**:"),
            1: (f"### {self.input}", f"### {self.output}"),
            2: (self.input.replace(":", " :"), self.output.upper()),
            3: ("Country:", self.output),
        }
        given, result = forms.get(_draw(9, asked.seed, "form"), (self.input, self.output))
        text = text.replace(self.input, given).replace(self.output, result)
        return self._around(text, asked), finish

    def _output(self, how: str, asked: Any) -> str | tuple[str, str]:
        written = super()._output(how, asked)
        if how != "good" or isinstance(written, tuple):
            return written
        endings = {
            0: f"# Of the {self._subject(asked, 'output')}\n\n{written}",
            1: f"Sure, here is what I think:\n\n{written}",
            2: f'    print("{written}")\n    # prints it\nOutput: 3',
            3: f"{written}\n\nLooking forward to seeing you,\nAda",
        }
        return endings.get(_draw(12, asked.seed, "ending"), written)

    def _around(self, text: str, asked: Any) -> str:
        around = _draw(14, asked.seed, "around")
        if around == 0:
            return f"<think>It is about v{asked.seed % 97}.</think>\n{text}"
        if around == 1:
            return f"Example 1\n{text}\n\nExample 2\n{text}"
        return text


class TalkingVoice(Voice):
    """Plays both sides of a self-chat too: asks, answers, and ends in many ways."""

    def __call__(self, asked: Any) -> str | tuple[str, str]:
        if asked.stage == "user":
            return self._asks(asked)
        return self._replies(asked) if asked.stage == "reply" else super().__call__(asked)

    def _asks(self, asked: Any) -> str | tuple[str, str]:
        words = self._words(asked)
        ends: dict[int, str | tuple[str, str]] = {
            0: " Thanks, that is all.",
            1: "  ",
            2: (f" What about the {words} and", "length"),
            3: " I'm sorry, but I cannot help with that.",
            4: ' "And what of the violin, then?"',
        }
        return ends.get(_draw(16, asked.seed, "asks"), f" How long does the {words} last?")

    def _replies(self, asked: Any) -> str | tuple[str, str]:
        words = self._words(asked)
        ends: dict[int, str | tuple[str, str]] = {
            0: "",
            1: "It is a matter of time and patience.",
            2: f"Sure! It lasts as long as the {words}.\n\nI hope this helps!",
            3: (f"It is the {words}, and then the", "length"),
            4: "As an AI language model, I cannot answer that.",
        }
        return ends.get(_draw(16, asked.seed, "replies"), f"Most of them say it is the {words}.")

    def _words(self, asked: Any) -> str:
        parts = [f"w{_draw(500, self.salt, asked.seed, number)}" for number in range(4)]
        return f"{self._subject(asked, 'talk')} {' '.join(parts)}"


class RevisingVoice(Voice):
    """Answers, criticises and rewrites too, well and badly."""

    def __call__(self, asked: Any) -> str | tuple[str, str]:
        words = " ".join(f"w{_draw(500, self.salt, asked.seed, number)}" for number in range(4))
        subject = self._subject(asked, "talk")
        if asked.stage == "critique":
            empty = _draw(9, asked.seed, "critique") == 0
            return " " if empty else f" It says nothing of the {subject}, {words}."
        if asked.stage == "answer":
            return f" An old book tells of the {subject}, {words}."
        if asked.stage != "revise":
            return super().__call__(asked)
        ends: dict[int, str | tuple[str, str]] = {
            0: "",
            1: (f" The {subject} and", "length"),
            2: "I'm sorry, but I cannot help with that.",
            3: "The revised answer is calmer than the old one.",
            4: "Say where it is not calm. Say where it is not brief. Say where it is not exact.",
            5: f"Sure! Most of them know the {subject}, {words}.\n\nI hope this helps!",
        }
        return ends.get(_draw(9, asked.seed, "revise"), f" Few people know the {subject}, {words}.")


def _choice(options: tuple[str, ...], *parts: object) -> str:
    return options[_draw(len(options), *parts)]


def _draw(count: int, *parts: object) -> int:
    """Return a number below `count` that the parts alone decide."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big") % count
