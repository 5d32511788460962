"""Signed models, tampered with in every way this knows of: none may be loaded.

Usage: ``python -m tools.campaigns.signature_tampering``. Every forgery is given a fitting ``sidecar_sha256``, as
somebody who tampers would, so that it is the signature that refuses; then the same without. Each is put beside the
model's files and loaded with ``load_model``. Prints a row a kind of forgery, and one for the untouched model, which
must load: a reader that refuses everything would prove nothing. Exits with 1 where a forgery was accepted.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tools.campaigns import reporting
from tools.campaigns.small_models import ModelFiles, train

from ev_qa_framework.signing import SigningKey, sign_model, signed_sidecar
from ev_qa_runtime import load_model, sidecar
from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.seal import NO_DIGEST, sealed
from ev_qa_runtime.signature_member import Signature, split, with_signatures

SLICE_STEP = 41
"""Every so many bytes of a sidecar are changed in the short form."""

Forgeries = Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of attempt: how many were made, and how many loaded."""

    kind: str
    tried: int
    accepted: int
    must_load: bool = False

    @property
    def faults(self) -> list[str]:
        """What is wrong with these figures."""
        if self.must_load:
            return [] if self.accepted == self.tried else [f"{self.kind}: {self.tried - self.accepted} refused"]
        return [f"{self.kind}: {self.accepted} accepted"] if self.accepted else []


@dataclass(frozen=True, slots=True)
class Bench:
    """Two signed versions of a model, the keys, and the folder where forgeries are loaded."""

    folder: Path
    old: ModelFiles
    new: ModelFiles
    key: SigningKey
    stranger: SigningKey

    @classmethod
    def made(cls, folder: Path) -> Bench:
        """Train and sign the models; the old one is version 1.0.0, the new one 1.1.0."""
        key, stranger = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(2))
        old = train(folder / "old", 1, metadata={"version": "1.0.0"})[0]
        new = train(folder / "new", 2, metadata={"version": "1.1.0"})[1]  # another seed, so other trees
        for path in (old, new):
            sign_model(path, key)
        return cls(folder, ModelFiles.of(old), ModelFiles.of(new), key, stranger)

    @property
    def unsigned(self) -> bytes:
        """The new model's sidecar without signatures."""
        return with_signatures(self.new.sidecar, ())

    @property
    def signature(self) -> Signature:
        """The signature of the new model."""
        return split(self.new.sidecar)[1][0]

    def signed(self, key: SigningKey, moment: timedelta = timedelta(), ends: timedelta | None = None) -> bytes:
        """The new model's sidecar, signed that long after now, until so long after that."""
        when = datetime.now(UTC) + moment
        return signed_sidecar(self.unsigned, key, when, None if ends is None else (when + ends).replace(microsecond=0))[
            0
        ]

    def carrying(self, *signatures: Signature) -> bytes:
        """The new model's sidecar with these signatures, whatever they are worth."""
        return with_signatures(self.unsigned, signatures)

    def loads(self, sidecar_bytes: bytes, payloads: ModelFiles | None = None, **demands: Any) -> bool:
        """Whether the runtime takes this sidecar beside the payloads of the new model, or of another."""
        for suffix, data in (payloads or self.new).payloads.items():
            path = self.folder / f"forged.{suffix}"
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)
        (self.folder / "forged.json").write_bytes(sidecar_bytes)
        try:
            load_model(self.folder / "forged", public_keys=[self.key.public], **demands)
        except ArtifactError:
            return False
        return True


def refitted(data: bytes) -> bytes:
    """``data`` with the digest that fits it, where it still ends in one."""
    blank = data[:-68] + NO_DIGEST.encode() + data[-4:]
    return sealed(blank) if blank.endswith(f'"sidecar_sha256": "{NO_DIGEST}"\n}}\n'.encode()) else data


def flipped_bits(bench: Bench) -> Forgeries:
    """Each of the signature's 512 bits, one at a time."""
    value = bench.signature.value
    for bit in range(8 * len(value)):
        changed = bytearray(value)
        changed[bit // 8] ^= 1 << bit % 8
        yield bench.carrying(replace(bench.signature, value=bytes(changed)))


def wrong_keys(bench: Bench) -> Forgeries:
    """A stranger's signature: under his id, under ours, and ours under his."""
    strange = split(bench.signed(bench.stranger))[1][0]
    yield bench.carrying(strange)
    yield bench.carrying(replace(strange, key_id=bench.key.key_id))
    yield bench.carrying(replace(bench.signature, key_id=bench.stranger.key_id))
    yield bench.carrying(strange, replace(bench.signature, key_id="0" * 16))


def swapped_ids(bench: Bench) -> Forgeries:
    """Both keys signed, and the two ids change places."""
    strange = split(bench.signed(bench.stranger))[1][0]
    ours, his = replace(bench.signature, key_id=strange.key_id), replace(strange, key_id=bench.signature.key_id)
    yield bench.carrying(ours, his)
    yield bench.carrying(his, ours)


def expired(bench: Bench) -> Forgeries:
    """Properly signed, but no longer valid."""
    for ago in (timedelta(seconds=2), timedelta(days=1), timedelta(days=3650)):
        yield bench.signed(bench.key, moment=-2 * ago, ends=ago)


def not_yet_valid(bench: Bench) -> Forgeries:
    """Dated further ahead than clocks differ."""
    for ahead in (timedelta(minutes=5, seconds=30), timedelta(hours=1), timedelta(days=3650)):
        yield bench.signed(bench.key, moment=ahead)


def unsigned(bench: Bench) -> Forgeries:
    """The signature cut out, and emptied in several spellings."""
    yield bench.unsigned
    for empty in (b'"signatures": []', b'"signatures": [\n ]', b'"signatures": null', b'"signatures": {}'):
        yield refitted(bench.unsigned.replace(b',\n "sidecar_sha256"', b",\n " + empty + b',\n "sidecar_sha256"'))


def of_another_model(bench: Bench) -> Forgeries:
    """The old model's signature in the new model's sidecar, alone and beside the right one."""
    theirs = split(bench.old.sidecar)[1][0]
    yield bench.carrying(theirs)
    yield bench.carrying(replace(theirs, signed=bench.signature.signed))
    yield bench.carrying(bench.signature, theirs)
    yield bench.carrying(theirs, bench.signature)


def duplicates(bench: Bench) -> Forgeries:
    """The right signature twice, or beside a forged one of the same key."""
    forged = replace(bench.signature, value=bytes(64))
    yield bench.carrying(bench.signature, bench.signature)
    yield bench.carrying(bench.signature, forged)
    yield bench.carrying(forged, bench.signature)
    spelled = bench.new.sidecar[
        bench.new.sidecar.rindex(b',\n "signatures"') : bench.new.sidecar.rindex(b',\n "sidecar')
    ]
    yield refitted(bench.new.sidecar.replace(spelled, spelled + spelled))


def changed_times(bench: Bench) -> Forgeries:
    """``signed`` and ``expires`` made to say something else than was signed."""
    limited = split(bench.signed(bench.key, ends=timedelta(days=30)))[1][0]
    assert limited.expires is not None  # noqa: S101 - it was signed so
    for shift in (timedelta(seconds=1), timedelta(days=365)):
        yield bench.carrying(replace(limited, expires=limited.expires + shift))
        yield bench.carrying(replace(limited, signed=limited.signed - shift))
        yield bench.carrying(replace(bench.signature, signed=bench.signature.signed - shift))
    yield bench.carrying(replace(limited, expires=None))
    yield bench.carrying(replace(bench.signature, expires=datetime(2999, 1, 1, tzinfo=UTC)))
    for spelling in (b"+00:00", b".000Z", b"z", b"Z "):
        yield refitted(bench.new.sidecar.replace(b'Z",\n   "expires"', spelling + b'",\n   "expires"'))
    yield refitted(bench.new.sidecar.replace(b'"expires": null', b'"expires": "2999-02-30T00:00:00Z"'))


def other_spellings(bench: Bench) -> Forgeries:
    """The same signature, spelled otherwise: base64 that is not canonical, white space, escapes, more members."""
    data = bench.new.sidecar
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    value = data[data.index(b'"signature": "') + 14 :][:88]
    last = alphabet.index(value[85])
    for spare in range(1, 16):  # the last character before == carries two bits; the other four must be zero
        yield refitted(data.replace(value, value[:85] + bytes([alphabet[last + spare]]) + b"=="))
    for other in (value[:-2], value[:-1], value + b"=", value[:40] + b"\\n" + value[40:], b" " + value, value + b" "):
        yield refitted(data.replace(value, other))
    yield refitted(data.replace(value, value[:40] + b"\n" + value[40:]))
    yield refitted(data.replace(value, b"\\u%04x" % value[0] + value[1:]))
    yield refitted(data.replace(value, value.lower()))
    key_id = bench.key.key_id.encode()
    yield refitted(data.replace(key_id, b"\\u%04x" % key_id[0] + key_id[1:]))
    for old, new in (
        (b'\n   "key_id"', b'\n    "key_id"'),
        (b'"signatures": [', b'"signatures":['),
        (b'"signatures": [', b'"signatures" : ['),
        (b'"signatures"', b'"\\u0073ignatures"'),
        (b'"expires": null,', b'"expires": null, "note": 1,'),
        (b'"expires": null,', b'"expires": null,\r'),
        (b"\n  }\n ]", b"\n  },\n  {}\n ]"),
        (b"\n  }\n ]", b"\n  },\n  null\n ]"),
    ):
        yield refitted(data.replace(old, new))


def edited_contracts(bench: Bench) -> Forgeries:
    """What somebody would want to change: thresholds, version, digests, metadata; the signature kept."""
    contract = sidecar.decode(bench.new.sidecar)
    other = sidecar.decode(bench.old.sidecar)
    for changed in (
        replace(contract, thresholds=replace(contract.thresholds, critical=-1.0, warning=-1.0)),
        replace(contract, version=replace(contract.version, major=9)),
        replace(contract, metadata={}),
        replace(contract, files=other.files),
        replace(contract, golden=other.golden, scoring=other.scoring),
        replace(contract, unknown={"note": 1}),
    ):
        yield with_signatures(sidecar.encode(changed), (bench.signature,))


def other_messages(bench: Bench) -> Forgeries:
    """Signatures of our own key, but over something else than a model's message."""
    blank, _ = split(bench.new.sidecar)
    for text in (
        blank,
        bench.unsigned,
        b"",
        b"ev-qa-model-signature-v1\n" + blank,
        b"ev-qa-model-signature-v2\n" + blank,
    ):
        yield bench.carrying(replace(bench.signature, value=bench.key.private.sign(text)))


def changed_bytes(bench: Bench, step: int, *, fitting: bool) -> Forgeries:
    """One byte of the signed sidecar after the other changed."""
    data = bench.new.sidecar
    for position in range(0, len(data), step):
        changed = bytearray(data)
        changed[position] ^= 1 + position % 255
        forged = refitted(bytes(changed)) if fitting else bytes(changed)
        if forged != data:  # a changed digest, made to fit again, is no change
            yield forged


KINDS: dict[str, Callable[[Bench], Forgeries]] = {
    "each bit of the signature flipped": flipped_bits,
    "signed by a key that is not trusted": wrong_keys,
    "key ids swapped": swapped_ids,
    "expired": expired,
    "not yet valid": not_yet_valid,
    "unsigned where a signature is required": unsigned,
    "signature of another model": of_another_model,
    "duplicate signatures": duplicates,
    "changed signed or expires": changed_times,
    "spelled otherwise": other_spellings,
    "contract edited, signature kept": edited_contracts,
    "our key over another message": other_messages,
}


def campaign(folder: Path, step: int = 1) -> list[Row]:
    """Try everything; the first row is the untouched models'."""
    bench = Bench.made(folder)
    loads = bench.loads
    minimum = "1.1.0"
    rows = [Row("untouched", 2, loads(bench.new.sidecar) + loads(bench.old.sidecar, bench.old), must_load=True)]
    kinds = KINDS | {
        "each byte changed, digest fitting": partial(changed_bytes, step=step, fitting=True),
        "each byte changed, digest as it was": partial(changed_bytes, step=step, fitting=False),
    }
    with reporting.progress() as progress:
        for kind, forgeries in progress.track(kinds.items(), description="tampering"):
            results = [loads(forged) for forged in forgeries(bench)]
            rows.append(Row(kind, len(results), sum(results)))
            progress.refresh()
    floor = loads(bench.old.sidecar, bench.old, minimum_version=minimum)
    rows.append(Row("version below the floor", 1, floor))
    crossed = loads(bench.old.sidecar) + loads(bench.new.sidecar, bench.old)
    rows.append(Row("old sidecar with new model, and new with old", 2, crossed))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit code."""
    options = reporting.parser("Signed models tampered with: none may be loaded.").parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = campaign(Path(folder), SLICE_STEP if options.slice else 1)
    reporting.print_table(
        "tampering", ("kind", "tried", "accepted"), ((row.kind, row.tried, row.accepted) for row in rows)
    )
    tried = sum(row.tried for row in rows if not row.must_load)
    accepted = sum(row.accepted for row in rows if not row.must_load)
    claim = f"{tried:,} forgeries, {accepted} accepted"
    return reporting.finish("signature_tampering", claim, [fault for row in rows for fault in row.faults])


if __name__ == "__main__":
    sys.exit(main())
