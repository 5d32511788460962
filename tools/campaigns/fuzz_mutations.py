"""Mutations that know what they change: JSON by its members, ONNX by its fields. Seeded, so that each can be repeated.

Both give bytes without a fitting digest; :mod:`tools.campaigns.fuzz_targets` adds it, so that what is behind the digest
gets fuzzed, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.protobuf_wire import LENGTH, VARINT, encoded_varint, fields, head

INTERESTING: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**400),
    *(0.0, -0.0, 0.5, -0.5, -1.0, 5e-324, 1e308, -1e308, 1e-9, 3.5e38),
    *("", " ", "1.0.0", "1.21", "onnx", "json", "../x", "a/b", "\x00", "\x1b[2J", "\u202e", "x" * 300, "NUL", "0" * 64),
    *([], {}, [[]], [None], {"": None}, {"onnx": {}}, [1, 2], ["a", "b"]),
)
SPELLINGS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000, "0." + "1" * 5000, "1E+5", "01", "+1", "0x10"),
    *('"\\ud800"', '"\\u0000"', '"\\', "//", "[" * 3000, '{"a":' * 3000, "\ufeff", "'x'", ",", "}", "]", '"', "null"),
)
"""What no JSON writer writes."""

LONGEST_LIST = 100
"""Items of a list that is still repeated: repeated lists of repeated lists would be all that is left of the time."""

_MARK = "\ue000"


def mutated_json(data: bytes, random: Random) -> bytes:
    """A changed sidecar: mostly still JSON."""
    if random.random() < 0.15:
        return mutated_bytes(data, random)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return mutated_bytes(data, random)
    spelled: dict[str, str] = {}
    for _ in range(1 + int(random.expovariate(1))):
        _change_member(document, random, spelled)
    text = json.dumps(document, indent=1, ensure_ascii=False)
    for mark, spelling in spelled.items():
        text = text.replace(f'"{mark}"', spelling)
    return (text + "\n").encode("utf-8", "surrogatepass")


def _change_member(document: Any, random: Random, spelled: dict[str, str]) -> None:
    holder = document
    while random.random() < 0.75:
        inner = holder.values() if isinstance(holder, dict) else holder
        deeper = [item for item in inner if isinstance(item, (dict, list)) and item]
        if not deeper:
            break
        holder = random.choice(deeper)
    if not holder:
        return
    key = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    action = random.choice(("value", "value", "near", "near", "near", "copy", "spelling", "nest", "shape", "shape"))
    if action == "shape":
        _change_shape(holder, key, random)
    elif action == "spelling":
        mark = f"{_MARK}{len(spelled)}"
        spelled[mark] = random.choice(SPELLINGS)
        holder[key] = mark
    elif action == "nest":
        for _ in range(random.choice((1, 5, 110, 130))):
            holder[key] = [holder[key]] if random.random() < 0.5 else {"a": holder[key]}
    elif action == "near" and isinstance(holder[key], (int, float)):
        holder[key] = _near(holder[key], random)
    else:
        holder[key] = random.choice(INTERESTING if action == "value" else _all_values(document))


def _change_shape(holder: Any, key: Any, random: Random) -> None:
    """Take an item out, repeat all of them, or give one another name."""
    if random.random() < 0.4:
        del holder[key]
    elif isinstance(holder, list):
        holder *= random.choice((0, 2, 50, 1000)) if len(holder) < LONGEST_LIST else 1
    else:
        holder[random.choice((*map(str, INTERESTING), key.upper(), key + " "))[:400]] = holder.pop(key)


def _all_values(document: Any) -> list[Any]:
    found, level = [document], [document]
    while level and len(found) < 2000:
        inner: list[Any] = []
        for item in level:
            inner += item.values() if isinstance(item, dict) else item
        found += inner
        level = [item for item in inner if isinstance(item, (dict, list))]
    return json.loads(json.dumps(found[1:])) or [None]  # copies: no member may hold itself


def _near(number: float, random: Random) -> float:
    changes: tuple[Callable[[float], float], ...] = (
        lambda value: value + 1,
        lambda value: -value,
        lambda value: value * 2,
        lambda value: value * (1 + 1e-9),
        lambda value: value / 3,
        float,
        int,
    )
    try:
        return random.choice(changes)(number)
    except (OverflowError, ValueError):
        return 0


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """Bytes changed, cut out, doubled or moved, wherever it hits."""
    changed = bytearray(data)
    for _ in range(1 + int(random.expovariate(0.7))):
        if not changed:
            return bytes([random.randrange(256)])
        position = random.randrange(len(changed))
        end = min(position + 1 + int(random.expovariate(0.1)), len(changed))
        action = random.randrange(6)
        if action == 0:
            changed[position] = random.randrange(256)
        elif action == 1:
            changed[position] ^= 1 << random.randrange(8)
        elif action == 2:
            del changed[position:end]
        elif action == 3:
            changed[position:position] = changed[position:end] * random.choice((1, 1, 20))
        elif action == 4:
            part = bytes(changed[position:end])
            del changed[position:end]
            target = random.randrange(len(changed) + 1)
            changed[target:target] = part
        else:
            changed[position:end] = random.choice((b"\xff", b"\x00", b"\x80", b"\x7f")) * (end - position)
    return bytes(changed)


# --- ONNX -------------------------------------------------------------------------------------------------------------

_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "leaf", 14: "leaf"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor"},
    "value": {2: "type"},
    "type": {1: "tensor_type"},
    "tensor_type": {2: "shape"},
    "shape": {1: "leaf"},
    "tensor": {},
    "leaf": {},
}
"""Which fields of which message are messages again."""

_NUMBERS = (0, 1, 2, 3, 4, 7, 11, 63, 64, 127, 128, 255, 2**14, 2**21, 2**31 - 1, 2**31, 2**32, 2**35, 2**63, 2**64 - 1)
_TEXTS = (
    *(b"", b"If", b"Loop", b"Scan", b"ConstantOfShape", b"Expand", b"Identity", b"telemetry", b"path_length", b"label"),
    *(b"com.microsoft", b"ai.onnx", b"ai.onnx.ml", b"nodes_splits", b"LEAF", b"BRANCH_EQ", b"\xff\xfe", b"x" * 3000),
    *(
        b"location",
        b"/etc/passwd",
        b"TreeEnsembleClassifier",
        b"SOFTMAX",
        b"\x00" * 8,
        b"\x00\x00\x00\x00\x00\x00\xf8\x7f",
    ),
)
_DEEPER = 0.85
"""How often a change goes one level further in."""


@dataclass(slots=True)
class _Part:
    """One field; ``inside`` where its value is a message that was taken apart."""

    number: int
    kind: int
    value: int | bytes
    inside: list[_Part] = field(default_factory=list)
    message: str | None = None

    def encoded(self) -> bytes:
        """Its bytes; lengths are those of what is inside now."""
        key = self.number << 3 | self.kind
        if isinstance(self.value, int):
            return encoded_varint(key) + encoded_varint(self.value)
        content = b"".join(part.encoded() for part in self.inside) if self.message else self.value
        return (head(key, content) if self.kind == LENGTH else encoded_varint(key)) + content


def _taken_apart(data: memoryview, message: str) -> list[_Part]:
    parts = []
    for found in fields(data):
        number, kind = found.key >> 3, found.key & 7
        part = _Part(number, kind, found.number if kind == VARINT else bytes(found.value))
        inner = _INSIDE[message].get(number) if kind == LENGTH else None
        if inner is not None:
            with suppress(ArtifactError):  # broken in there: kept as bytes
                part.inside, part.message = _taken_apart(found.value, inner), inner
        parts.append(part)
    return parts


def mutated_onnx(data: bytes, random: Random, others: tuple[bytes, ...] = ()) -> bytes:
    """A changed model: mostly still protobuf. ``others`` are models that parts are taken from."""
    if random.random() < 0.1:
        return mutated_bytes(data, random)
    try:
        parts = _taken_apart(memoryview(data), "model")
        donor = _taken_apart(memoryview(random.choice(others)), "model") if others else parts
    except ArtifactError:
        return mutated_bytes(data, random)
    for _ in range(1 + int(random.expovariate(1))):
        _change_part(parts, donor, random)
    return b"".join(part.encoded() for part in parts)


def _change_part(parts: list[_Part], donor: list[_Part], random: Random) -> None:
    while random.random() < _DEEPER:
        deeper = [part for part in parts if part.inside]
        if not deeper:
            break
        chosen = random.choices(deeper, [len(part.inside) for part in deeper])[0]
        same = [part for part in donor if part.message == chosen.message]
        parts, donor = chosen.inside, random.choice(same).inside if same else donor
    if not parts:
        return
    position = random.randrange(len(parts))
    part = parts[position]
    if random.random() < 0.6:
        if not part.inside:
            parts[position] = _Part(part.number, part.kind, _other_value(part.value, random))
    elif random.random() < 0.6:
        _rearrange(parts, position, donor, random)
    elif random.random() < 0.5:
        parts[position] = _Part(random.randrange(1, 30), part.kind, part.value, part.inside, part.message)
    else:
        parts[position] = _Part(part.number, random.choice((0, 1, 2, 3, 4, 5)), bytes(random.choice((0, 1, 4, 8))))


def _rearrange(parts: list[_Part], position: int, donor: list[_Part], random: Random) -> None:
    part = parts[position]
    action = random.choice(("remove", "double", "move", "take", "many"))
    if action == "remove":
        del parts[position]
    elif action == "double":
        parts.insert(random.randrange(len(parts) + 1), part)
    elif action == "move":
        parts.insert(random.randrange(len(parts)), parts.pop(position))
    elif action == "take" and donor:
        parts.insert(position, random.choice(donor))
    else:
        parts[position:position] = [part] * random.choice((3, 70, 300))


def _other_value(value: int | bytes, random: Random) -> int | bytes:
    if isinstance(value, int):
        return random.choice((*_NUMBERS, value + 1, max(value - 1, 0), value ^ 1 << random.randrange(10)))
    action = random.randrange(3)
    if action == 0:
        return random.choice(_TEXTS)
    return mutated_bytes(value, random) if action == 1 else value + value[: random.choice((1, 8, len(value)))]
