"""Records as people's files have them: every dialect, with the odd surfaces that occur."""

import json
from typing import Any

from hypothesis import strategies as st

NAMES = ("a.jpg", "train2014/b 1.png", "ü/\u2028.webp", "no_extension")
LETTERS = st.sampled_from("ab \n\t'\"\\,:[]{}é\u2028\x85\U0001f600<>=\x00") | st.characters(codec="utf-8")
TEXT = st.text(LETTERS, max_size=12).filter(lambda text: "<image>" not in text)
WORD = st.text(st.sampled_from("abcxyz_é"), min_size=1, max_size=5)
NUMBERS = st.integers(-3, 3) | st.just(2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
# names that mean something in another dialect, or to us
ODD_FIELDS = {
    "llava": ("messages", "question", "answer", "c3l_messages"),
    "sharegpt": ("messages", "question", "answer", "c3l_messages"),
    "messages": ("question", "answer", "c3l_messages"),
    "pairs": ("id_", "c3l_messages", "tokens"),
}
URL = "data:image/png;base64,iVBORw0KGgo="


def strict(value: Any) -> str:
    """A text that two JSON values share only if they are equal with their types."""
    return json.dumps(value, sort_keys=True)


@st.composite
def extras(draw: st.DrawFn, dialect: str) -> dict[str, Any]:
    found: dict[str, Any] = draw(st.dictionaries(WORD.map(lambda word: f"x{word}"), JSON, max_size=2))
    if draw(st.booleans()):
        found["id"] = draw(st.sampled_from(["7", "ü", "", 7, 7.0, None, True, [1]]))
    if draw(st.integers(0, 3)) == 0:
        found[draw(st.sampled_from((*ODD_FIELDS[dialect], "c3l_extra")))] = draw(JSON)
    if draw(st.integers(0, 5)) == 0:
        found["c3l_extra"] = {"question": 1, "x": None}
    return found


@st.composite
def records(draw: st.DrawFn, dialect: str, single: bool = False, urls: bool = False) -> dict[str, Any]:
    """A record; `single`: one exchange at most, as a pair has; `urls`: some images are `data:` URLs."""
    turns = 1 if single or dialect == "pairs" else draw(st.integers(1, 3))
    system = draw(st.sampled_from([None, "first", "system", "system_prompt"]))
    placed = draw(st.booleans())
    count = st.integers(0, 2) if placed else st.just(0)
    texts = [draw(st.lists(TEXT, min_size=n + 1, max_size=n + 1)) for n in (draw(count) for _ in range(2 * turns))]
    images = draw(st.integers(0, 2)) if not placed else sum(len(one) - 1 for one in texts)
    names = draw(st.lists(st.sampled_from((*NAMES, URL) if urls else NAMES), min_size=images, max_size=images))
    found = draw(extras(dialect))
    if system in ("system", "system_prompt") or (system and dialect == "pairs"):
        found["system_prompt" if system == "system_prompt" else "system"] = draw(TEXT)
    if dialect == "pairs":
        flat = {"question": "<image>".join(texts[0]), "answer": "<image>".join(texts[1])}
        return found | flat | draw(image_fields(names, "image"))
    roles = ["user", "assistant"] * turns
    if system == "first":
        roles, texts = ["system", *roles], [[draw(TEXT.filter(bool))], *texts]
    if dialect == "messages":
        return found | draw(openai(roles, texts, names, placed))
    if not single and draw(st.integers(0, 9)) == 0:
        roles[-1] = "observation"
    words = [draw(role_words(role)) for role in roles]
    said = [draw(turn(word, "<image>".join(text))) for word, text in zip(words, texts, strict=True)]
    return found | {"conversations": said} | draw(image_fields(names, "images" if dialect == "sharegpt" else "image"))


@st.composite
def image_fields(draw: st.DrawFn, names: list[str], field: str) -> dict[str, Any]:
    other = "images" if field == "image" else "image"
    also = draw(st.sampled_from([{}, {}, {other: None}]))
    if not names:
        none = [{}, {field: None}, {field: []}, {field: ""}] if field == "image" else [{}, {field: []}]
        return draw(st.sampled_from(none)) | (also if field == "image" or not also else {})
    one = [names[0], [names[0]]] if len(names) == 1 else [names]
    return {field: draw(st.sampled_from(one))} | also


@st.composite
def turn(draw: st.DrawFn, word: str, text: str) -> dict[str, Any]:
    names = draw(st.sampled_from([("from", "value"), ("from", "value"), ("role", "content")]))
    also = draw(st.sampled_from([{}, {}, {}, {"weight": 0}, {"weight": 1.0, "n": {"m": [None]}}, {"c3l_extra": 1}]))
    return {names[0]: word, names[1]: text} | also


def role_words(role: str) -> st.SearchStrategy[str]:
    return st.sampled_from({"user": ["human", "user"], "assistant": ["gpt", "assistant"]}.get(role, [role]))


@st.composite
def openai(draw: st.DrawFn, roles: list[str], texts: list[list[str]], names: list[str], placed: bool) -> dict[str, Any]:
    """Images inline, or as a list beside the messages."""
    inline = placed and draw(st.booleans())
    waiting = iter(names)
    said = []
    for role, pieces in zip(roles, texts, strict=True):
        content: Any = "<image>".join(pieces)
        if inline or draw(st.booleans()):
            content = draw(parts(pieces, [next(waiting) for _ in pieces[1:]] if inline else None))
        said.append({"role": role, "content": content} | draw(st.sampled_from([{}, {}, {"name": "x"}])))
    return {"messages": said} | ({} if inline else draw(image_fields(names, "images")))


@st.composite
def parts(draw: st.DrawFn, pieces: list[str], names: list[str] | None) -> list[Any]:
    """A list of parts: texts whole, split or absent, images named here or not."""
    found: list[Any] = []
    for number, piece in enumerate(pieces):
        if number:
            found.append(draw(image_part(None if names is None else names[number - 1])))
        middle = draw(st.integers(0, len(piece)))
        split = [piece[:middle], piece[middle:]] if draw(st.booleans()) else [piece]
        found += [{"type": "text", "text": one} for one in split if one or draw(st.booleans())]
    return found


def image_part(name: str | None) -> st.SearchStrategy[dict[str, Any]]:
    if name is None:
        return st.sampled_from([{"type": "image"}, {"type": "image", "text": None}])
    return st.sampled_from(
        [
            {"type": "image_url", "image_url": {"url": name}},
            {"type": "image_url", "image_url": {"url": name, "detail": "high"}},
            {"type": "image_url", "image_url": name},
            {"type": "image", "image": name},
            {"type": "image", "path": name},
            {"type": "image", "url": name, "text": None},
        ]
    )
