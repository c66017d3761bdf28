"""What a record looks like as JSON: LLaVA, ShareGPT, OpenAI's messages, and plain pairs of question and answer."""

from collections.abc import Sequence
from typing import Any

from data_modules.formats.dialect_reading import listed_pictures, read_messages, read_pair
from data_modules.formats.dialect_writing import WRITERS
from data_modules.formats.fields import FORMS
from data_modules.formats.foreign import in_dialect
from data_modules.formats.forms import form_of, is_forms, restored, same
from data_modules.formats.record import Picture, Record
from data_modules.formats.unsupported import refuse_other_media, refuse_unread

DIALECTS = tuple(WRITERS)
# added to the dialect's name where the JSON of a shard's sample names no image
SHARD = ".shard"

_ALIKE = ("llava", "sharegpt")  # a record without images is the same in both


def recognised(value: Any) -> str:
    """The dialect that a JSON value is read in, by its fields.

    Raises:
        ValueError: it is no record in any.
    """
    if type(value) is not dict:
        raise ValueError(f"must be an object, got {type(value).__name__}")
    return _recognised(in_dialect(value))


def _recognised(value: dict[str, Any]) -> str:
    if isinstance(value.get("conversations"), list):
        return "sharegpt" if value.get("images") or ("images" in value and not value.get("image")) else "llava"
    if isinstance(value.get("messages"), list):
        return "messages"
    if "question" in value and "answer" in value:
        return "pairs"
    if "chosen" in value and "rejected" in value:
        raise ValueError("is a preference pair ('chosen', 'rejected'), not an instruction with its answer")
    fields = ", ".join(repr(name[:40]) for name in list(value)[:8]) or "none"
    raise ValueError(
        "'conversations' is missing, empty or no list, and there is no 'messages', 'question' with 'answer' or any "
        f"other known format; its fields are {fields}"
    )


def from_json(value: Any, carried: Sequence[Picture] = (), keep_form: bool = True) -> Record:
    """A record as it was read from a file.

    Args:
        value: the JSON value.
        carried: images that came with it, used where it names none.
        keep_form: keep how it differs from the way we write it.

    Raises:
        ValueError: says what is wrong with it.
    """
    if type(value) is not dict:
        raise ValueError(f"must be an object, got {type(value).__name__}")
    refuse_other_media(value)
    known = in_dialect(value)
    dialect = _recognised(known)
    forms: dict[str, Any] = {}
    if is_forms(value.get(FORMS)) and dialect not in value[FORMS]:
        forms = value[FORMS]
        value, known = ({name: one for name, one in this.items() if name != FORMS} for this in (value, known))
    names = listed_pictures(known)
    read = read_pair if dialect == "pairs" else read_messages
    record = read(known, dialect, names, carried)
    refuse_unread(record)
    form = form_of(WRITERS[dialect](record, False), value) if keep_form else None
    if form is not None:
        is_beside = any(one is record.pictures[0] for one in carried if record.pictures)
        forms = {**forms, **dict.fromkeys(_keys(dialect, record, is_beside), form)}
    record.forms = forms
    return record


def to_json(record: Record, dialect: str, lossy: bool = False, shard: bool = False) -> dict[str, Any]:
    """A record as it is written in a dialect; forms of other dialects travel in `c3l_forms`.

    `messages` are written as parts with `image_url`: the form of chat APIs, in which each image stands at its own place
    and no text has to be searched for a placeholder.

    Args:
        record: the record.
        dialect: a name in `DIALECTS`.
        lossy: write what cannot be said as near as possible.
        shard: the images travel beside the JSON.

    Raises:
        Inexpressible: the dialect cannot hold the record.
    """
    written = WRITERS[dialect](record, lossy)
    if not record.forms:
        return written
    key = dialect + SHARD if shard and dialect + SHARD in record.forms else dialect
    form = record.forms.get(key)
    if form is not None:
        written = restored(written, form)
    others = {name: one for name, one in record.forms.items() if name != key and not same(one, form)}
    return written | {FORMS: others} if others else written


def _keys(dialect: str, record: Record, beside: bool) -> Sequence[str]:
    """Under which names a form is kept."""
    if beside:
        return (dialect + SHARD,)
    return _ALIKE if dialect in _ALIKE and not record.pictures else (dialect,)
