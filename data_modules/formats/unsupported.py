"""Refuses records with media that are not read: audio, video, documents, and images named in an unknown way.

Training on such a record as plain text would teach the model to make things up. Text that only mentions media is read:
HTML in code, `<video>` in the middle of a sentence, captions, sizes and other notes about an image.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from data_modules.formats.record import Record
from data_modules.images.folders import EXTENSIONS

_SUFFIX = r"(?:_?(?:path|file|filename|name|url|uri|link|id|base64|b64|bytes|data|list|str|\d+)s?)*"
_FIELD = re.compile(
    rf"(?!(?:has|is|num|n|no|with|needs|use)_)(?:[a-z0-9]+_)*?(video|audio|pdf|point_?cloud|image|img|picture|photo|screenshot)s?{_SUFFIX}"
)
_NUMBERED = re.compile(r"[a-z_]+?_?\d+")
# fields that hold text as often as files: the value decides
_MAYBE = frozenset(
    name + plural
    for name in ("document", "doc", "file", "attachment", "media", "clip", "speech", "sound", "voice", "wav")
    for plural in ("", "s")
)
_KINDS = {
    "audio": ("aac", "flac", "m4a", "mp3", "ogg", "opus", "wav"),
    "video": ("avi", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "webm"),
    "document": ("doc", "docx", "pdf", "ppt", "pptx", "xls", "xlsx"),
}
KIND_BY_ENDING = {ending: kind for kind, endings in _KINDS.items() for ending in endings}
_ENDING = re.compile(r"\.(\w{2,5})(?:[?#].*)?$")

# image and other media placeholders of particular models
_TOKEN = re.compile(
    r"<\|(?:image|img|video|audio|vision|speech)[\w ]*\|>|<image[_ ]\d+>|<image_placeholder>|<ImageHere>|<IMG_CONTEXT>"
    r"|<start_of_image>|<image_soft_token>|<im_patch>",
    re.IGNORECASE,
)
# at an end of the text, or alone on its line: elsewhere people write about HTML
_TAG = re.compile(
    r"\A\s*<(video|audio|speech)>|^[ \t]*<(video|audio|speech)>[ \t]*$|<(video|audio|speech)>\s*\Z", re.MULTILINE
)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)


def refuse_other_media(fields: Mapping[str, Any]) -> None:
    """Refuse a record whose fields hold audio, video or documents.

    Args:
        fields: of the record, by name.

    Raises:
        ValueError: names the field.
    """
    for name, value in fields.items():
        kind = _kind_of_field(name)
        if kind == "maybe":
            kind = _kind_of_file(value)
            # `file` of a text record often says which document the text was made from
            kind = "" if kind == "document" and name.lower() in ("file", "files") else kind
        if kind not in ("", "image") and not _is_id(name) and _is_reference(value):
            raise ValueError(f"{kind} is not supported yet, only text and images: field {name!r}")


def refuse_unread(record: Record) -> None:
    """Refuse a record with an image that was not read, or with other media in its messages.

    Args:
        record: as it was read; `extra` holds the fields that are not understood.

    Raises:
        ValueError: names the field, or the turn and what it says.
    """
    for name, value in record.extra.items():
        # JSON reads this field as the image, but Parquet that an older version wrote has it among the extra fields
        is_file = name == "file_name" and isinstance(value, str) and value.lower().endswith(EXTENSIONS)
        # in a record whose images were read, all but numbered fields are notes about them, such as ids and sources
        if (not is_file and _kind_of_field(name) in ("", "maybe")) or (record.images and not _NUMBERED.fullmatch(name)):
            continue
        is_read = isinstance(value, str) and any(value == image.name for image in record.images)
        if not is_read and _is_reference(value, _is_id(name)):
            raise ValueError(f"field {name!r} seems to name what is not read: name an image 'image', several 'images'")
    for turn, message in enumerate(record.messages, start=1):
        if message.extra:
            try:
                refuse_other_media(message.extra)
            except ValueError as error:
                raise ValueError(f"turn {turn}: {error}") from error
            for name, value in message.extra.items():
                if _kind_of_field(name) == "image" and _is_reference(value):
                    raise ValueError(
                        f"turn {turn} names an image in its field {name!r}, which is not read: use <image>"
                    )
        if message.role == "user" and "<" in message.text:
            _refuse_text(message.text, turn)


def _refuse_text(text: str, turn: int) -> None:
    """Refuse a text with a placeholder of media that are not read, outside of code."""
    if not (_TOKEN.search(text) or _TAG.search(text)):
        return
    text = _CODE.sub("``", text)
    if found := _TOKEN.search(text):
        raise ValueError(f"turn {turn} says {found[0]}, which is not read as an image: write <image> instead")
    for found in _TAG.finditer(text):
        kind = next(filter(None, found.groups()))
        if f"</{kind}>" not in text:
            raise ValueError(f"{kind} is not supported yet, only text and images: turn {turn} says <{kind}>")


@lru_cache(maxsize=4096)
def _kind_of_field(name: str) -> str:
    """The medium that a field of this name holds: `maybe` if the value must decide, empty if none."""
    name = name.lower()
    if name in _MAYBE:
        return "maybe"
    kind = found[1] if (found := _FIELD.fullmatch(name)) else ""
    return "image" if kind in ("img", "picture", "photo", "screenshot") else kind


def _kind_of_file(value: Any) -> str:
    """The medium by the ending of a file name; of a list, that of the first file that has one."""
    if isinstance(value, list):
        return next(filter(None, map(_kind_of_file, value)), "")
    if isinstance(value, dict):
        return _kind_of_file(value.get("path") or value.get("url"))
    ending = _ENDING.search(value.strip()) if isinstance(value, str) and len(value) < 4096 else None
    return KIND_BY_ENDING.get(ending[1].lower(), "") if ending and "\n" not in value else ""


def _is_id(name: str) -> bool:
    return name.lower().rstrip("s").endswith("id")


def _is_reference(value: Any, numbers: bool = False) -> bool:
    """Whether the value can be a file, its name or (with `numbers`) its id, not a description, a flag or nothing."""
    if isinstance(value, str):
        text = value.strip()
        return bool(text) and (not re.search(r"\s", text) or ("\n" not in text and bool(_ENDING.search(text))))
    if isinstance(value, (list, tuple)):
        return any(_is_reference(one, numbers) for one in value)
    if isinstance(value, dict):
        return any(_is_reference(one, True) for one in value.values())
    return isinstance(value, bytes) or (numbers and type(value) is int)
