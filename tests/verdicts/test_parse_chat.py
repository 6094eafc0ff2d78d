"""What a model says to its user around an answer is cut off and recorded."""

from __future__ import annotations

import pytest

from selfinstruct.verdicts.parse.instances import read_direct

POEM = "Snow lies on the hill.\nThe fox is still."


@pytest.mark.parametrize(
    "opening",
    [
        "Sure, here is a poem about snow:",
        "Sure! Here's a poem about snow:",
        "Sure thing! Here is a poem:",
        "Certainly! Here's a short poem for you:",
        "Certainly, below is the poem:",
        "Of course! Here are two lines:",
        "Of course.\n\nHere is a poem:",
        "Absolutely! Here's one:",
        "I'd be happy to help! Here is a poem:",
        "Sure! I'd be glad to help you with that. Here's a poem:",
        "Certainly! I can help with that. Here is the poem:",
        "Sure, I have written a poem for you:",
        "Sure! Let me write one for you:",
        "Sure!\n",
        "Here's a poem about snow:",
        "Here is the poem that you asked for:",
        "Sure: here is a poem:",
        "Natürlich! Hier ist ein Gedicht:",
        "Gerne! Hier sind zwei Zeilen:",
        "当然！以下是一首诗：",
        "好的，这是一首诗：",
        "Chắc chắn rồi! Dưới đây là một bài thơ:",
        "Bien sûr ! Voici un poème :",
        "¡Claro! Aquí tienes un poema:",
        "Конечно! Вот стихотворение:",
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_an_opening_is_cut(opening: str, gap: str) -> None:
    text = f"{opening}{gap}{POEM}"
    [instance] = read_direct(text, "stop")
    assert instance.output == POEM == text[slice(*instance.output_span)]
    assert instance.cut == opening.strip()


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("Sure, here is the answer: 42", "42"),
        ("Here is the corrected sentence: She goes home.", "She goes home."),
        ("Certainly! Here is the code:\n    x = 1\n    y = 2", "    x = 1\n    y = 2"),
        ("Sure, here are three tips:\n1. Sleep.\n2. Eat.", "1. Sleep.\n2. Eat."),
        (
            "Certainly! A palindrome reads the same backwards.",
            "A palindrome reads the same backwards.",
        ),
    ],
)
def test_what_follows_the_opening_is_the_answer(text: str, output: str) -> None:
    [instance] = read_direct(text, "stop")
    assert instance.output == output


@pytest.mark.parametrize(
    "text",
    [
        "Here are three tips:\n1. Sleep.\n2. Eat.",
        "Sure, here is a poem:",
        "Sure!",
        "Sure! what a day it was.",
        "Of course you may come along.",
        "Certainly the most famous of them is Paris.",
        "Sure, here are three tips: sleep, eat and rest.",
        "Absolutely! Honey never spoils.",
        "Okay",
        "Great things take time.\nWait for them.",
        "Here is where it began: Rome.",
        "This is a list:\n1. One",
        "Surely, this is so:\nYes.",
        "Surface tension: what is it?\nA force.",
        "Let me know if you have questions.",
        "Dear Ann,\n\nThe meeting is on Monday.\n\nPlease let me know if you have any questions.",
        "Sure, I can help you with that. What sentence would you like me to reverse?",
        "Of course! Here is what I need:\nPlease provide the text that you want me to read.",
        "Hi Bob,\n\nIt works.\n\nI hope this helps!",
        "The cat sat.\n\nIs there a mat?",
        "The cat sat.\n\nI hope you like cats.",
    ],
)
def test_other_words_stay(text: str) -> None:
    [instance] = read_direct(text, "stop")
    assert (instance.output, instance.cut) == (text, None)


@pytest.mark.parametrize(
    "closing",
    [
        "I hope this helps!",
        "Hope this helps! Let me know if you have any questions.",
        "Let me know if you need anything else!",
        "Please let me know if you would like me to expand on any of these.",
        "Feel free to ask if you have any other questions.",
        "Is there anything else I can help you with?",
        "Would you like me to write another one?",
        "If you'd like any changes, please ask.",
        "If you have any further questions, feel free to ask!",
        "如果你有其他问题，请告诉我。",
        "希望这对你有帮助！",
    ],
)
def test_a_closing_is_cut(closing: str) -> None:
    text = f"{POEM}\n\n{closing}"
    [instance] = read_direct(text, "stop")
    assert (instance.output, instance.cut) == (POEM, closing)
    both = f"Sure, here is a poem:\n\n{text}"
    [instance] = read_direct(both, "stop")
    assert (instance.output, instance.cut) == (POEM, f"Sure, here is a poem:\n{closing}")


def test_a_closing_shows_that_the_answer_was_not_cut_off() -> None:
    [instance] = read_direct(f"{POEM}\n\nI hope this helps!", "length")
    assert not instance.truncated
