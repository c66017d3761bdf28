"""The gallery: which pairs it shows, that texts stay texts, and its filters in a browser."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.candidate_columns import CandidateColumns
from lightning_c3l.report.gallery import (
    DATA_SET,
    Gallery,
    GalleryCounts,
    GalleryPair,
    gallery_pairs,
    prior_pairs,
    shown_pairs,
    with_tokens,
)
from lightning_c3l.report.token_values import TokenValues
from tests.helpers.chromium import dump_dom, needs_chromium
from tests.report.dom import Node, parse
from tests.report.galleries import gallery_page
from tests.report.samples import NAN, refused, scored
from tests.report.test_page import HOSTILE

NONE = GalleryCounts(0, 0, 0, 0, 0)


def answers(
    candidates: list[ScoredCandidate], round: int | str = 0, reading: str = "answer", **counts: int
) -> list[str]:
    """Answers of the pairs that are shown."""
    columns = CandidateColumns.of(candidates, reading)
    return [one.answer for one in gallery_pairs(columns, round, counts=replace(NONE, **counts))]


def group(image: str, **members: tuple[float, str]) -> list[ScoredCandidate]:
    """A group whose candidates are named by their answer, with score and status."""
    return [scored(score, image, reply=name, status=status) for name, (score, status) in members.items()]


def test_best_and_worst_are_ordered_and_never_the_same() -> None:
    candidates = [scored(value, reply=str(value)) for value in (0.5, 0.1, 0.9, 0.3)]
    candidates += [scored(0.9, reply="0.9"), scored(NAN, reply="nan"), refused("x", "no answer")]
    assert answers(candidates, best=2, worst=2) == ["0.9", "0.5", "0.1", "0.3"]
    assert answers(candidates, best=9, worst=9) == ["0.9", "0.5", "0.1", "0.3"]
    assert answers(candidates[:3], best=9, worst=9) == ["0.9", "0.5", "0.1"]
    assert answers([], best=9, worst=9) == []


def test_the_reading_of_the_run_decides() -> None:
    first, second = scored(0.9, reply="first"), scored(0.1, reply="second")
    assert first.scores is not None
    candidates = [replace(first, scores=replace(first.scores, gap=-1.0)), second]
    assert answers(candidates, reading="answer", best=1) == ["first"]
    assert answers(candidates, reading="gap", best=1) == ["second"]


def test_answers_of_the_prior_are_shown_one_of_each_image() -> None:
    answers = [
        *group("a", v=(0.3, "margin"), w=(-0.4, "negative"), x=(-0.5, "negative")),
        *group("b", y=(-0.1, "negative")),
        *group("c", z=(-0.2, "negative")),
    ]
    answers = [replace(one, candidate=replace(one.candidate, origin="blind", sample=5)) for one in answers]
    shown = shown_pairs({1: CandidateColumns.of([], "gap")}, answers={1: answers})
    assert [(one.answer, one.section, one.round, one.reading, one.name) for one in shown] == [
        (name, "prior", "1", "gap", "blind 5") for name in "wyz"
    ]
    assert [one.answer for one in prior_pairs(answers, 1, "gap", replace(NONE, prior=2))] == ["w", "y"]
    assert shown_pairs({0: CandidateColumns.of([])}, answers={1: answers}) == []


def test_borderline_pairs_of_a_round_are_close_decisions_within_a_group() -> None:
    candidates = [
        *group("far", a=(0.9, "positive"), b=(0.1, "negative")),
        *group("near", c=(0.5, "positive"), d=(0.45, "negative"), e=(0.44, "negative")),
        # the margin is a threshold too, and duplicates are not decided by score
        *group("margin", f=(0.8, "positive"), g=(0.79, "duplicate"), h=(0.6, "margin"), i=(0.59, "negative")),
    ]
    assert answers(candidates, borderline=2) == ["h", "i"]
    assert answers(candidates, borderline=5) == ["h", "i", "c", "d"]
    assert answers(candidates, borderline=9) == ["h", "i", "c", "d", "a", "b"]


def test_groups_by_image_have_one_positive_for_all_kinds() -> None:
    candidates = [
        scored(0.5, "a", reply="yes", kind="x", status="positive"),
        scored(0.4, "a", reply="no", kind="x", status="negative"),
        scored(0.3, "b", reply="one", kind="x", status="negative"),
        scored(0.35, "b", reply="two", kind="y", status="positive"),
    ]
    # the group of image b was made of both kinds, but "two" has a group of its own kind alone
    assert answers(candidates, borderline=2) == ["yes", "no"]


def test_borderline_pairs_of_a_data_set_are_the_last_kept_of_a_kind() -> None:
    candidates = [
        scored(0.5, reply="a", kind="x", status="kept"),
        scored(0.3, reply="b", kind="x", status="kept"),
        scored(0.29, reply="c", kind="x", status="left out"),
        scored(0.301, reply="d", kind="y", status="left out"),
    ]
    assert answers(candidates, DATA_SET, borderline=8) == ["b", "c"]


def test_what_is_best_is_not_borderline_again() -> None:
    candidates = group("one", a=(0.9, "positive"), b=(0.8, "negative"))
    assert answers(candidates, best=1, borderline=2) == ["a"]


def test_rejected_texts_differ_in_their_reasons() -> None:
    texts = [refused(str(number), reason) for number, reason in enumerate(["no answer"] * 3 + ["too long"])]
    pairs = gallery_pairs(CandidateColumns.of(texts), 0, counts=replace(NONE, rejected=3))
    assert [(one.text, one.reason, one.status) for one in pairs] == [
        ("0", "no answer", "rejected"),
        ("3", "too long", "rejected"),
        ("1", "no answer", "rejected"),
    ]


def test_token_values_go_to_their_pair() -> None:
    values = TokenValues(("A", " cube."), (-1.0, -2.0), (-3.0, -1.0))
    pairs = gallery_pairs(
        CandidateColumns.of([scored(0.5, "a"), scored(0.4, "b")]), 0, counts=replace(NONE, best=1, worst=1)
    )
    found = with_tokens(pairs, {("", "a", "What is it?", "A cube."): values})
    assert [one.tokens for one in found] == [values, None]
    # another source may have another image of that name
    other = gallery_pairs(
        CandidateColumns.of([scored(0.5, "a")]), DATA_SET, source="fresh", counts=replace(NONE, best=1)
    )
    assert [one.tokens for one in with_tokens(other, {("", "a", "What is it?", "A cube."): values})] == [None]


def card(pair: GalleryPair) -> Node:
    """The only card of a page."""
    (found,) = parse(gallery_page([pair])).find("article")
    return found


def test_a_card_shows_all_of_a_pair() -> None:
    (pair,) = gallery_pairs(
        CandidateColumns.of([scored(0.4321, "p.png", "Why?", "So.", "why", "wrong", "positive")]), 1
    )
    shown = card(replace(pair, tokens=TokenValues(("So", "."), (-1.0, -2.0), (-3.5, -1.0))))
    assert [one.text for one in shown.find("span", "chip")] == ["why", "\u2717 wrong", "positive"]
    assert (shown.find("p", "question")[0].text, shown.find("p", "answer")[0].text) == ("Why?", "So.")
    assert shown.find("strong")[0].attributes["data-value"] == "0.4321"
    tokens = shown.find("span", "token")
    assert [one.find("bdi")[0].text for one in tokens] == ["So", "."]
    assert [one.find("small")[0].text for one in tokens] == ["+2.5", "\u22121.0"]
    assert ["more" in one.attributes["class"] for one in tokens] == [True, False]
    assert tokens[0].attributes["title"] == "log p with image \u22121.00, without \u22123.50, difference 2.50"
    values = dict(zip((one.text for one in shown.find("dt")), (one.text for one in shown.find("dd")), strict=True))
    assert values["mean log q"] == "\u22120.500"
    assert "Write a why question." in shown.all_text()
    data = {name: shown.attributes[f"data-{name}"] for name in ("round", "section", "kind", "status", "verdict")}
    assert data == {"round": "1", "section": "best", "kind": "why", "status": "positive", "verdict": "wrong"}


def test_a_card_shows_the_reading_that_chose() -> None:
    (pair,) = gallery_pairs(CandidateColumns.of([scored(0.4321)], "gap"), 0)
    shown = card(pair)
    assert shown.find("strong")[0].attributes["data-value"] == "0.3"
    assert shown.find("p", "score")[0].text.strip() == "S(I²C) gap"
    assert "another image" in card(replace(pair, reading="answer")).find("p", "score")[0].text


def test_a_rejected_text_shows_its_reason() -> None:
    (pair,) = gallery_pairs(CandidateColumns.of([refused("who knows", "no question")]), 0)
    shown = card(pair)
    assert shown.find("pre")[0].text == "who knows"
    assert "no question" in shown.find("p", "score")[0].text
    assert not shown.find("strong")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    pair = GalleryPair(
        image=text, section=text, round=text, kind=text, status=text, question=text, answer=text, instruction=text,
        verdict=text, text=text, reason=text, name=text, tokens=TokenValues((text, text), (-1.0, -1.0), (-2.0, 0.0)),
    )  # fmt: skip
    page = gallery_page([pair, replace(pair, answer="", kind="other")])
    page.encode("utf-8")
    root = parse(page)
    assert len(root.find("article")) == 2
    (script,) = root.find("script")
    assert text not in script.text
    for node in root.walk():
        assert node.tag not in {"iframe", "object", "embed", "link", "base", "form", "a"}
        assert not [name for name in node.attributes if name.startswith("on")]
        assert "url(" not in node.attributes.get("style", "")


def test_hidden_characters_of_tokens_are_spelled_out() -> None:
    pair = GalleryPair(
        "a", "best", answer="\u202egnp\ud800", tokens=TokenValues(("\u202eg", "np\ud800"), (0.0, 0.0), (0.0, 0.0))
    )
    page = gallery_page([pair])
    assert "\u202e" not in page
    assert [one.text for one in parse(page).find("bdi")] == ["[U+202E]g", "np[U+D800]"]


def test_answers_from_right_to_left_keep_their_order() -> None:
    arabic = "\u0645\u0631\u062d\u0628\u0627"
    pair = GalleryPair("a", "best", answer=arabic, tokens=TokenValues((arabic[:2], arabic[2:]), (0.0, 0.0), (0.0, 0.0)))
    (heat,) = card(pair).find("p", "heat")
    assert heat.attributes["dir"] == "rtl"
    assert all(one.attributes["dir"] == "ltr" for one in heat.find("small"))


def test_the_policy_allows_the_script_of_the_page_alone() -> None:
    root = parse(gallery_page([GalleryPair("a", "best")]))
    (script,), (policy,) = root.find("script"), [one for one in root.find("meta") if "http-equiv" in one.attributes]
    digest = b64encode(sha256(script.text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy.attributes["content"]


def test_filters_name_what_differs() -> None:
    pairs = [GalleryPair("a", "best", kind="x", round="0"), GalleryPair("a", "best", kind="", round="1")]
    assert Gallery(pairs).filters() == {"round": ("round", ["0", "1"]), "kind": ("kind", ["x"])}
    assert Gallery([]).filters() == {}


@needs_chromium
def test_filters_in_a_browser(tmp_path: Path) -> None:
    odd = 'a "kind" & <more>'
    pairs = [
        GalleryPair(f"{round}/{kind}/{status}", "best", round, kind, status, "Why?", "So.")
        for round in ("0", "1")
        for kind in (odd, "other")
        for status in ("positive", "negative")
    ]
    page = tmp_path / "page.html"
    page.write_text(gallery_page(pairs), encoding="utf-8")

    def seen(fragment: str) -> tuple[list[str], Node]:
        text, console = dump_dom(page, fragment)
        assert not console
        root = parse(text)
        hidden = {id(one) for outer in root.walk() if "hidden" in outer.attributes for one in outer.walk()}
        names = [re.sub("^image ", "", one.find("div", "image")[0].attributes["aria-label"])
                 if one.find("div", "image") else one.find("img")[0].attributes["alt"].removeprefix("image ")
                 for one in root.find("article") if id(one) not in hidden]  # fmt: skip
        return names, root

    everything, root = seen("")
    assert everything == [one.image for one in pairs]
    assert "hidden" not in root.find("div", "filters")[0].attributes
    assert ["open" in one.attributes for one in root.find("details", "round")] == [False, True]
    some, root = seen("kind=a+%22kind%22+%26+%3Cmore%3E&status=positive&round=0")
    assert some == [f"0/{odd}/positive"]
    assert root.find("output")[0].text == "1 of 8 pairs"
    # the round that holds it unfolds, the other one is gone
    rounds = [("open" in one.attributes, "hidden" in one.attributes) for one in root.find("details", "round")]
    assert rounds == [(True, False), (True, True)]
    assert seen("kind=unknown")[0] == everything
