"""Token values of answers of a set, by the model that scores it."""

from collections.abc import Mapping
from pathlib import Path

from PIL.Image import Image

from data_modules.formats import Record, to_conversation
from lightning_c3l.cli.set_tokens import AnswerTokenValues, read_image
from lightning_c3l.lvlm.base import AnswerScorer
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.rounds.scoring import Context
from lightning_c3l.rounds.token_values import token_values


def answer_tokens(
    lvlm: AnswerScorer, records: Mapping[int, Record], root: Path | None, batch_size: int, longest_side: int | None
) -> AnswerTokenValues:
    """Token values of all answers of some records; those of records that cannot be scored are left out.

    Args:
        lvlm: scores them.
        records: by number.
        root: folder that their images are relative to.
        batch_size: records at once; halved where memory runs out.
        longest_side: pixels that larger images are shrunk to first.
    """
    images, contexts, numbers = dict[str, Image](), list[Context](), list[int]()
    for number, record in records.items():
        pictures = [read_image(image, root, longest_side) for image in record.images]
        own = {f"{number}/{index}": picture for index, picture in enumerate(pictures) if picture is not None}
        if not own or len(own) < len(pictures):
            continue
        images |= own
        contexts.append(Context(tuple(own), (to_conversation(record, number).turns,)))
        numbers.append(number)
    found = token_values(lvlm, contexts, images.__getitem__, BatchSize(batch_size, "--batch-size"))
    out = AnswerTokenValues()
    for number, values in zip(numbers, found, strict=True):
        answers = (index for index, one in enumerate(records[number].messages) if one.role == "assistant")
        out |= {(number, index): one for index, one in zip(answers, values, strict=True) if one is not None}
    return out
