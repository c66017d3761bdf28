"""Sentences of texts, and of tokens."""

import pytest

from lightning_c3l.selection.sentences import sentence_numbers, sentence_spans

# a bar stands where a sentence ends
MARKED = [
    "Two red birds are on the left.| One tree is at the top.",
    "No full stop at the end",
    "It is red.| It is big",
    "Really?!| Yes.| No! It",
    "No.| It is red.",
    "See fig. 3 and No. 5 there.| Then go.",
    "Dr. Lee and Mrs. Ray have 2.5 apples, e.g. red ones.| They like them.",
    "J. Smith walks.| B. too",
    "Birds, trees, etc. are there.| Birds, trees, etc.| All are red.",
    "It is 5 p.m. in the picture.| The U.S. flag is there.",
    "Wait... what is it?| Wait…| What is it?",
    'He says "stop."| She (he, too) goes.)| End',
    "1. A red bird.\n|2. A blue tree.\n|3. no more",
    "A title\n|\nA line\n",
    "一只红鸟。|两棵树\uff01|没有了",
    "यह लाल है।| यह बड़ा है।",
    "هل هو أحمر؟| نعم",
    "\u057d\u0561\u0589| \u0561\u0575\u0578",
    "version 3.5.2 is at www.example.com today.| Fine.",
]


@pytest.mark.parametrize("marked", MARKED)
def test_sentences(marked: str) -> None:
    expected = [part.strip() for part in marked.split("|") if part.strip()]
    text = marked.replace("|", "")
    if "No! It" in text:  # an exclamation mark always ends one
        expected[-1:] = ["No!", "It"]
    assert [text[start:end] for start, end in sentence_spans(text)] == expected


def test_a_blank_text_has_none() -> None:
    assert sentence_spans(" \n ") == []
    assert sentence_numbers([]) == []
    assert sentence_numbers([" "]) == [0]


def test_tokens_belong_to_the_sentence_of_their_first_letter() -> None:
    # blanks come with the token behind them, or stand alone; an empty text continues a character
    tokens = ["It", " is", " red", ".", " It", "", " is", " ", "bi", "g", "."]
    assert sentence_numbers(tokens) == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert sentence_numbers(["A.\n", "\n", "B", "."]) == [0, 1, 1, 1]
    assert sentence_numbers(["红。", "蓝", "。", "\n"]) == [0, 1, 1, 1]
