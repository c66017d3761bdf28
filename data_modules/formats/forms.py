"""How a JSON value differs from another, as a small patch that is itself JSON.

A record is written in one default form a dialect. Where it came in another (an image as a list of one, a field that is
null, the system prompt in a field of its own), the patch from the default form to what was read is kept with it.
"""

import json
from collections.abc import Mapping
from typing import Any

from lightning_c3l.runs.digests import content_digest

_ABSENT = object()


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; unlike Python, 1, 1.0 and true are three values."""
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is dict:
        return len(left) == len(right) and _same_fields(left, right)
    if kind is list:
        return len(left) == len(right) and not any(
            one is not other and not same(one, other) for one, other in zip(left, right, strict=True)
        )
    return bool(left == right)


def form_of(default: Mapping[str, Any], original: Mapping[str, Any]) -> dict[str, Any] | None:
    """The form of a record: None where it is the default one.

    Returns:
        `patch`, and `of`: a hash of the fields of the default form that the patch changes. A record that was edited
        in other fields (scores were added) still gets its form back; one edited in these does not.
    """
    if same(default, original):
        return None
    patch = _difference(default, original)
    return {"of": _hash(default, patch), "patch": patch}


def restored(default: dict[str, Any], form: Mapping[str, Any]) -> dict[str, Any]:
    """The record as it was read; the default form where the record was edited since, or the form is damaged."""
    try:
        if form["of"] == _hash(default, form["patch"]):
            return dict(_applied(default, form["patch"]))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        pass  # the form was in a file that anybody may have edited
    return default


def is_forms(value: Any) -> bool:
    """Whether a value read from a file can be forms by dialect."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(one, dict) and set(one) == {"of", "patch"} for one in value.values())
    )


def _same_fields(left: dict[str, Any], right: dict[str, Any]) -> bool:
    for name, one in left.items():  # every record passes here: most values are the very same objects
        other = right.get(name, _ABSENT)
        if one is not other and not same(one, other):
            return False
    return True


def _difference(old: Any, new: Any) -> dict[str, Any]:
    if type(old) is dict and type(new) is dict:
        inner = {name: new[name] for name in new if name in old and not same(old[name], new[name])}
        parts = {
            "set": {name: one for name, one in new.items() if name not in old},
            "drop": [name for name in old if name not in new],
            "in": {name: _difference(old[name], one) for name, one in inner.items()},
        }
        return {name: part for name, part in parts.items() if part}
    if type(old) is list and type(new) is list:
        return _list_difference(old, new)
    return {"to": new}


def _list_difference(old: list[Any], new: list[Any]) -> dict[str, Any]:
    if len(old) == len(new):
        places = [place for place in range(len(old)) if not same(old[place], new[place])]
        return {"at": {str(place): _difference(old[place], new[place]) for place in places}}
    shorter = min(len(old), len(new))
    head = 0
    while head < shorter and same(old[head], new[head]):
        head += 1
    tail = 0
    while tail < shorter - head and same(old[-1 - tail], new[-1 - tail]):
        tail += 1
    return {"cut": [head, len(old) - tail], "put": new[head : len(new) - tail]}


def _applied(old: Any, patch: Mapping[str, Any]) -> Any:
    if "to" in patch:
        return patch["to"]
    if "cut" in patch:
        start, stop = patch["cut"]
        return [*old[:start], *patch["put"], *old[stop:]]
    if "at" in patch:
        changed = list(old)
        for place, inner in patch["at"].items():
            changed[int(place)] = _applied(old[int(place)], inner)
        return changed
    dropped = set(patch.get("drop", ()))
    inside = patch.get("in", {})
    kept = {k: _applied(one, inside[k]) if k in inside else one for k, one in old.items() if k not in dropped}
    return kept | patch.get("set", {})


def _hash(default: Mapping[str, Any], patch: Mapping[str, Any]) -> str:
    touched = {*patch.get("set", ()), *patch.get("drop", ()), *patch.get("in", ())}
    seen = {name: default[name] for name in touched if name in default}
    return content_digest(json.dumps(seen, sort_keys=True), size=8)
