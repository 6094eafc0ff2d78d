"""The words by which a model says that a task has no input."""

from __future__ import annotations

import re
from collections.abc import Collection

# Compared casefolded, without what stands around them.
_WORDS = frozenset(
    word.strip()
    for word in """
    none|na|n/a|n.a|nil|null|noinput|no_input|no-input|no input|not applicable|not available
    not required|not needed|not necessary|not provided|not specified|none required|none needed
    none necessary|none provided|none given|does not apply|empty input|no context
    keine|keiner|keines|keine eingabe|kein input|keine angabe|keine angaben|entfällt
    nicht erforderlich|nicht nötig|nicht notwendig|nicht zutreffend|nicht benötigt
    aucun|aucune|aucune entrée|néant|sans objet|non applicable|ninguno|ninguna|sin entrada
    no aplica|no se requiere|nenhum|nenhuma|não aplicável|sem entrada|nessuno|nessuna|nessun input
    geen|niet van toepassing|brak|ingen|ingen input|yok
    нет ввода|не требуется|отсутствует|нет данных
    không|không có|không cần|không áp dụng|không có đầu vào|không cần đầu vào|không yêu cầu
    không có dữ liệu đầu vào
    无|無|没有|沒有|无输入|無輸入|没有输入|沒有輸入|无需输入|無需輸入|不需要输入|不需要輸入|不适用|不適用
    なし|無し|ありません|入力なし|入力無し|該当なし|特になし|入力不要|없음|입력 없음|해당 없음
    """.replace("\n", "|").split("|")
    if word.strip()
)
_PHRASE = re.compile(
    r"(?:(?:there is|there's) )?no (?:[a-z]{1,12} )?(?:input|inputs|context|data)"
    r"(?: text| data)?(?: is| are| was)? ?(?:required|needed|necessary|provided|given|available"
    r"|applicable|specified)?(?: (?:for|in|by|to) [\w ]{1,40})?"
    r"|(?:this|the) (?:task|instruction|question|prompt) (?:does not|doesn['’]t) "
    r"(?:require|need|have) (?:an? |any )?(?:[a-z]{1,12} )?inputs?"
    r"|not (?:applicable|required|needed|necessary) (?:for|in) [\w ]{1,40}"
    r"|(?:für diese aufgabe (?:ist|wird) )?keine (?:[a-zäöüß]{1,14} )?eingabe"
    r" (?:ist )?(?:erforderlich|nötig|notwendig|benötigt|vorhanden)"
)
_AROUND = " \t\r\n.。!！*_`\"'“”‘’()（）[]【】<>《》{}"
_DASHES = frozenset("-–—−")
# Longer texts are inputs.
_LONGEST = 90


def is_no_input(text: str, own: Collection[str]) -> bool:
    """Whether a text in the place of an input says that there is none.

    Args:
        text: what stands after the marker.
        own: the words of the run's templates, casefolded.
    """
    if len(text) > _LONGEST:
        return False
    folded = text.casefold().strip()
    if folded in own or folded.strip(" .") in own:
        return True
    words = folded.strip(_AROUND)
    if not words:
        # An empty text or list in quotation marks or brackets is an input.
        return not folded
    return _DASHES.issuperset(words) or words in _WORDS or bool(_PHRASE.fullmatch(words))
