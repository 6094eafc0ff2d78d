"""Texts, short and long, of what the checks and parsers look for."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = [
    *("a", "I ", "1. ", "2. ", "9. ", "10.", "(3) ", "**4.** ", "- ", "• ", "**"),
    *("***", "---", "###", "# ", "__", "\n", "\n\n", " ", "    ", "\t", "\r\n", "\x0b"),
    *("\x85", "\u2028", "\u3000", ". ", "? ", "! ", ": ", ":", ";", ",", '"', "“", "”"),
    *("’", "'", "`", "```", '"""', "[", "]", "[name]", "<name>", "<your name>", "<"),
    *("</", "<a", ">", "{{", "}}", "{", "};", "(", ")", "____", "XXXX", "xxxx"),
    *("lorem ipsum", "[answer here]", "İ", "ı", "ſ", "K", "é", "é", "世", "界", "ไทย"),
    *("กำ", "́", "한", "Input:", "Output:", "input:", "OUTPUT: ", "Label:", "Answer:"),
    *("Task:", "task:", "### Task", "Example 1", "example", "Instance: ", "**Input:**"),
    *("## Output", "Input 2:", "Đầu ra:", "输出:", "Ответ:", "OТBET:", "ᲀ", "Sure! "),
    *("sorry, but I", "I cannot provide ", "i am unable to help", "can't ", "as an ai"),
    *("I’m here to help you", "afraid", "unfortunately ", "but ", "and", "the"),
    *("their", "is", "Write a poem about sea ", "write a poem", "def f():", "return"),
    *("class A", "SELECT x", "x = 1", "for x in y:", "print(1)", "for example "),
    *("function", "_", "true", "A. ", "Name: ", "a: b", "| a | b |", "22", "٣", "１０．"),
    *("Task 10:", "Name three birds. ", "What is this?", "sun's ", "²", "\x00", "😀"),
    *("ß", "ŉ", "ः"),
]
_SOME = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14)
# Some pieces again and again, as a model in a loop writes them.
_LOOP = st.tuples(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join),
    st.sampled_from([7, 60, 2_500]),
).map(lambda both: both[0] * (both[1] // len(both[0]) + 1))
SHORT = _SOME.map("".join)
TEXTS = SHORT | st.tuples(SHORT, _LOOP, SHORT).map("".join)
