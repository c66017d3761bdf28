"""Types of English questions."""

import pytest

from lightning_c3l.selection.texts import question_type


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is the cat asleep?", "yes_no"),
        ("ARE THERE dogs?", "yes_no"),
        ("does it rain", "yes_no"),
        ("Isn't this a bus?", "yes_no"),
        ("Can\u2019t he see it?", "yes_no"),
        ("Would you call this a park?", "yes_no"),
        ("How many dogs are there?", "number"),
        ("How much snow lies here?", "number"),
        ("What number is on the shirt?", "number"),
        ("What is the number of windows?", "number"),
        ("To how many people does he speak?", "number"),
        ("Approximately how many birds are there?", "number"),
        ("Where is the ball?", "place"),
        ("Where's the ball?", "place"),
        ("In which corner is the square?", "place"),
        ("in what part of the picture is it?", "place"),
        ("Which corner is it in?", "place"),
        ("What position does the circle have?", "place"),
        ("In which place was this taken?", "place"),
        ("What color is the car?", "color"),
        ("WHICH COLOUR has the car?", "color"),
        ("What colours do you see?", "color"),
        ("Of what color is the roof?", "color"),
        ("What is the color of the car?", "color"),
        ("What's the colour of the car?", "color"),
        ("In the image, what color is the car?", "color"),
        ("What is he holding?", "what"),
        ("With what does he cut?", "what"),
        ("What part of the bus is open?", "what"),
        ("Who wears a hat?", "who"),
        ("Whose hat is it?", "who"),
        ("With whom does she talk?", "who"),
        ("Why is it wet?", "why"),
        ("How does he stand?", "how"),
        ("For how long has it rained?", "how"),
        ("When was this taken?", "when"),
        ("Which animal is larger?", "which"),
        ("On which animal does he ride?", "which"),
        ("In the left corner, is there a dog?", "yes_no"),
        ("Describe the scene.", "other"),
        ("The car is red", "other"),
        ("In the garden", "other"),
        ("Island life?", "other"),
        ("Whatever", "other"),
        ("", "other"),
        ("?!", "other"),
    ],
)
def test_question_type(question: str, kind: str) -> None:
    assert question_type(question) == kind
