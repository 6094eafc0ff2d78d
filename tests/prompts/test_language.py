"""Every language's file is complete and keeps to its own rules; another language is one file."""

# ruff: noqa: RUF001
from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ParsedInstance, SeedTask
from selfinstruct.common.versions import RULES_VERSION
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config
from selfinstruct.filters.instance_rules import check_instances
from selfinstruct.filters.points import refers_to_input
from selfinstruct.filters.rule import InstanceFacts, InstructionFacts, Of, When, first_failure
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.prompts import language as module
from selfinstruct.prompts.kinds import kind_by_words
from selfinstruct.prompts.language import languages, read_language
from selfinstruct.prompts.library import SHIPPED, load_prompts
from selfinstruct.verdicts.pool import first_index

CODES = ["de", "vi", "zh"]
VERSION = RULES_VERSION
# Without Jinja, a template of these has nothing to translate, or one text for every language.
ONE_FOR_ALL = {"task.jinja", "prompts.yaml"}


def config_of(code: str) -> RunConfig:
    return build_config(dict(read_language(code).config), f"{code}.yaml")


def words_of(template: str) -> str:
    return re.sub(r"(?s)\{[{%#].*?[}%#]\}|[\W\d_]", "", template)


def reason_of(instruction: str, config: RunConfig, lines: frozenset[str] = frozenset()) -> object:
    rules = [r for r in rules_in_force(Of.INSTRUCTION, VERSION) if r.when is When.TEXT]
    failure = first_failure(rules, InstructionFacts(instruction, False, lines), config)
    return failure and failure.reason


def test_the_languages_are_those_that_were_asked_for() -> None:
    assert set(CODES) <= set(languages())


@pytest.mark.parametrize("code", languages())
def test_every_template_with_words_is_there_in_the_language(code: str) -> None:
    shipped = {path.name: path.read_text("utf-8") for path in SHIPPED.iterdir()}
    with_words = {name for name, text in shipped.items() if words_of(text)} - ONE_FOR_ALL
    assert with_words == set(read_language(code).templates)


@pytest.mark.parametrize("code", [None, *languages()])
def test_a_heading_stops_no_answer(code: str | None) -> None:
    """A line of `###` alone separates tasks; `### Steps` belongs to an answer."""
    stops = load_prompts(None, code).stop
    for stage in ("input_first", "output_first", "answer"):
        assert "\n###\n" in stops[stage]
        assert not any(text in "Ja.\n### Steps\n1. Read." for text in stops[stage])


@pytest.mark.parametrize("code", languages())
@pytest.mark.parametrize("domain", ["", "astronomie"])
@pytest.mark.parametrize("can_open", [True, False])
def test_the_templates_render_as_the_shipped_ones_do(
    code: str, domain: str, can_open: bool
) -> None:
    library, english = load_prompts(None, code), load_prompts()
    exemplars = [
        {
            "instruction": task.instruction,
            "is_classification": task.is_classification,
            "input": task.instances[0].input,
            "output": task.instances[0].output,
            "instances": [{"input": i.input, "output": i.output} for i in task.instances],
        }
        for task in library.exemplars
    ]
    values = {
        "exemplars": exemplars,
        "instruction": "INSTRUCTION",
        "input": "INPUT",
        "opened": library.markers.label,
        "tasks": ["ONE", "TWO"],
        "list_length": 8,
        "domain": domain,
        "topic": "TOPIC",
        "examples": library.passages[:2],
        "passage": "PASSAGE",
        "count": 4,
        "can_open": can_open,
    }
    for name in read_language(code).templates:
        if name.endswith(".base.jinja"):
            text = library.text(name, **values)
            assert text == text.rstrip()
            other = english.text(name, **{**values, "opened": english.markers.label})
            assert text.count("\n###\n") == other.count("\n###\n")
        else:
            turns = library.messages(name, **values)
            text = "\n".join(turn["content"] for turn in turns)
            other_turns = english.messages(name, **values)
            assert [t["role"] for t in turns] == [t["role"] for t in other_turns]
        assert not re.search(r"\b(?:Task|Input|Output|Label|Answer)\b", text)
        if name.startswith("propose_passage"):
            assert text.index(library.passages[1]["text"]) < text.index("PASSAGE")
            assert text.rstrip().endswith("1.") == can_open or ".base." in name
        elif name.startswith("propose"):
            assert "2. " in text
            assert text.rstrip().endswith("3.") == can_open or ".base." in name
            assert "TOPIC" in text
            assert domain.casefold() in text.casefold()
            assert "\n\n\n" not in text


@pytest.mark.parametrize("code", languages())
def test_the_words_of_templates_and_parser_agree(code: str) -> None:
    library = load_prompts(None, code)
    markers = library.markers
    for name in ("classify.base.jinja", "classify.chat.jinja"):
        labels = re.findall(r'\{\{ "(.+)" if .+ else "(.+)" \}\}', library.files[name])
        assert labels
        for yes, no in labels:
            assert yes.casefold() == markers.classification.casefold()
            assert not no.casefold().startswith(markers.classification.casefold())
    # The word before a task is a stop string of the stages that show tasks.
    [task] = {stop for stop in library.stop["input_first"] if "#" not in stop}
    for name in ("input_first.base.jinja", "output_first.base.jinja", "answer.base.jinja"):
        assert f"{task}" in library.files[name]


@pytest.mark.parametrize("code", [None, *CODES])
def test_worked_passages_and_their_tasks_keep_to_the_rules(code: str | None) -> None:
    library = load_prompts(None, code)
    config = config_of(code) if code else RunConfig()
    assert len(library.passages) >= config.passages.exemplars
    rules = [rule for rule in rules_in_force(Of.INSTANCE, VERSION) if rule.when is When.TEXT]
    index = first_index([], config)
    for exemplar in library.passages:
        facts = InstanceFacts("", exemplar["text"], "It is.")
        assert first_failure(rules, facts, config) is None, exemplar["text"]
        assert len(exemplar["tasks"]) >= config.passages.tasks
        for task in exemplar["tasks"]:
            assert reason_of(task, config, library.own_lines()) is None, task
            assert index.nearest(task) is None, task
            index.add(task, task)


@pytest.mark.parametrize("code", CODES)
def test_the_exemplars_are_enough_and_keep_to_the_rules(code: str) -> None:
    library, config = load_prompts(None, code), config_of(code)
    tasks = library.exemplars
    labelled = [task for task in tasks if task.is_classification]
    assert len(tasks) >= 8
    assert 2 * len(labelled) == len(tasks)
    assert all(len({i.output for i in task.instances}) > 1 for task in labelled)
    rules = rules_in_force(Of.INSTANCE, VERSION)
    for task in tasks:
        assert reason_of(task.instruction, config, library.own_lines()) is None, task.instruction
        parsed = [ParsedInstance(i.input, i.output, (0, 0), (0, 0), False) for i in task.instances]
        failures = check_instances(rules, task.instruction, parsed, config, library.markers)
        assert failures == [None] * len(parsed), task.instruction
        free_with_input = not task.is_classification and bool(task.instances[0].input)
        if not task.is_classification:
            points = refers_to_input(task.instruction, VERSION, config.instances)
            assert points == free_with_input, task.instruction


BAD = [
    ("de", "Zeichne ein Diagramm der Bevölkerung.", "unsuitable_keyword"),
    ("de", "Als KI-Sprachmodell kann ich das nicht.", "refusal"),
    ("de", "Hier sind einige Aufgaben für dich.", "chatty_preamble"),
    ("de", "Write a poem for me.", None),  # the letters are those of German
    ("de", "Nenne Beispiele.", "too_short"),
    ("de", "Напиши стихотворение о весне.", "wrong_script"),
    ("de", "Die folgende Liste enthält ganz unterschiedliche Aufgaben, die Menschen einem fähigen "
           "Textassistenten stellen.", "prompt_echo"),
    ("vi", "Vẽ bản đồ Việt Nam cho tôi.", "unsuitable_keyword"),
    ("vi", "Xin lỗi, tôi không thể giúp bạn.", "refusal"),
    ("vi", "Chắc chắn rồi, tôi sẽ viết.", "chatty_preamble"),
    ("vi", "Viết thơ.", "too_short"),
    ("zh", "根据下面的图片写一个故事。", "unsuitable_keyword"),
    ("zh", "作为人工智能，我没有感情。", "refusal"),
    ("zh", "好的，我来写几条任务。", "chatty_preamble"),
    ("zh", "写诗。", "too_short"),
    ("zh", "Write a short poem about the first snow of winter.", "wrong_script"),
    ("zh", "下面的清单收集了人们请文本助手完成的各种任务。", "prompt_echo"),
]  # fmt: skip
GOOD = [
    ("de", "Erkläre, wie man als Kind Radfahren lernt."),
    ("de", "Welches Bildungssystem hat Finnland?"),
    ("de", "Schreibe eine Einladung zum Sommerfest der Grundschule."),
    ("de", "Ist ein Wal ein Fisch? Begründe."),  # to an English rule, a question and a name
    ("de", "Was ist Fluorid?"),
    ("vi", "Nước là gì?"),
    ("vi", "Giải thích vì sao bầu trời có màu xanh."),
    ("vi", "Kể tên ba loài hoa nở vào mùa xuân."),
    ("zh", "用Python写一个函数，计算列表的平均值。"),
    ("zh", "《红楼梦》的作者是谁？"),
    ("zh", "写一首关于秋天的诗。"),
]


@pytest.mark.parametrize(("code", "text", "reason"), [*BAD, *((c, t, None) for c, t in GOOD)])
def test_the_rules_have_words_of_the_language(code: str, text: str, reason: str | None) -> None:
    lines = load_prompts(None, code).own_lines()
    assert reason_of(text, config_of(code), lines) == reason


POINTS = [
    ("de", "Korrigiere die Grammatik im folgenden Absatz.", True),
    ("de", "Übersetze diesen Satz ins Französische.", True),
    ("de", "Welche Folgen hatte der Wiener Kongress?", False),
    ("de", "Übersetze „Guten Morgen“ ins Französische.", False),
    ("de", "Übersetze den folgenden Satz: Es regnet.", False),
    ("vi", "Tóm tắt đoạn văn dưới đây trong một câu.", True),
    ("vi", "Dịch câu sau sang tiếng Anh.", True),
    ("vi", "Sau khi tốt nghiệp nên làm gì?", False),
    ("zh", "把以下句子翻译成英文。", True),
    ("zh", "这段文字的主题是什么？", True),
    ("zh", "解释一下什么是通货膨胀。", False),
    ("zh", "把下面的句子翻译成英文：今天很冷。", False),
]


@pytest.mark.parametrize(("code", "text", "points"), POINTS)
def test_phrases_tell_whether_an_input_is_missing(code: str, text: str, points: bool) -> None:
    config = config_of(code)
    assert refers_to_input(text, VERSION, config.instances) is points
    alone = [ParsedInstance("", "x y z", (0, 0), (0, 0), False)]
    rules = rules_in_force(Of.INSTANCE, VERSION)
    [failure] = check_instances(rules, text, alone, config, load_prompts(None, code).markers)
    assert (failure and failure.reason) == ("missing_input" if points else None)


@pytest.mark.parametrize("code", CODES)
def test_the_words_of_an_instruction_tell_its_kind(code: str) -> None:
    library = load_prompts(None, code)
    for task in library.exemplars:
        assert kind_by_words(task.instruction, library.kind_rules) is task.is_classification


def test_without_a_language_all_is_as_it_was() -> None:
    assert load_prompts(None, None) == load_prompts()
    assert RunConfig().language is None
    instances = RunConfig().instances
    assert refers_to_input("Correct the sentence below.", 2, instances)
    assert not refers_to_input("Name a bird.", 2, instances)


def test_files_of_the_user_win(tmp_path: Path) -> None:
    (tmp_path / "direct.chat.jinja").write_text('{{ turn("user") }}Bitte: {{ instruction }}')
    text = "Aufgabe {{ instruction }}"
    (tmp_path / "classify.base.jinja").write_text(text)
    library = load_prompts(tmp_path, "de")
    assert library.files["classify.base.jinja"] == text
    assert (
        library.files["propose.base.jinja"] == read_language("de").templates["propose.base.jinja"]
    )


def test_an_unknown_language_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'tlh' is not known; there are: .*de.*vi.*zh"):
        read_language("tlh")
    with pytest.raises(ConfigError, match="not known"):
        read_language("../de")


@pytest.fixture
def throwaway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of languages with one more: Esperanto, in a few lines."""
    folder = tmp_path / "languages"
    shutil.copytree(module.FOLDER, folder)
    monkeypatch.setattr(module, "FOLDER", folder)
    content = {
        "name": "Esperanto",
        "common_words": [["la", "kaj"], ["estas", "skribu"]],
        "config": {"rules": {"unsuitable_phrases": [["bildo", "dosiero"]], "max_words": 99}},
        "prompts": {"markers": {"input": "Enigo:", "no_input": [["neniu"]]}},
        "templates": {"direct.chat.jinja": '{{ turn("user") }}Bonvolu: {{ instruction }}'},
    }
    path = folder / "eo.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_another_language_is_one_file(throwaway: Path) -> None:
    assert "eo" in languages()
    library, config = load_prompts(None, "eo"), config_of("eo")
    assert library.markers.input == "Enigo:"
    assert library.markers.no_input == ("neniu",)
    assert library.kind_rules == ()
    assert library.markers.output == load_prompts().markers.output  # what it leaves out is English
    assert config.rules.max_words == 99  # type: ignore[attr-defined]
    assert reason_of("Faru al mi bildo.", config) == "unsuitable_keyword"
    assert read_language("eo").is_used_in(["Skribu poemon.", "Nomu birdon."])
    assert not read_language("eo").is_used_in(["Write a poem.", "Name a bird."])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"templates": {"other.jinja": "x"}}, "no stage uses 'other.jinja'"),
        ({"words": []}, "words"),
        ({"name": None}, "name"),
    ],
)
def test_a_wrong_file_is_named(throwaway: Path, change: dict[str, object], problem: str) -> None:
    content = yaml.safe_load(throwaway.read_text()) | change
    throwaway.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=rf"eo\.yaml.*{problem}"):
        load_prompts(None, "eo")


def seeds(*instructions: str) -> list[SeedTask]:
    return [SeedTask(str(n), "x", text, (), None) for n, text in enumerate(instructions)]


@pytest.mark.parametrize("code", CODES)
def test_a_language_is_told_by_its_common_words(code: str) -> None:
    from selfinstruct.inputs.seeds import parse_seeds, shipped_seeds

    english = [seed.instruction for seed in parse_seeds(shipped_seeds().read_bytes(), "x")]
    language = read_language(code)
    assert not language.is_used_in(english)
    for other in CODES:
        own = [task.instruction for task in load_prompts(None, other).exemplars]
        assert language.is_used_in(own) == (other == code)
