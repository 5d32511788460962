"""Signatures: the published Ed25519 cases, the bytes that are signed, and a layout that leaves nothing to interpret."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ev_qa_runtime import ArtifactError, IntegrityError, SignatureError, load_model, sidecar, signature_member
from ev_qa_runtime.errors import ConfigurationError
from ev_qa_runtime.seal import sealed as seal_blank
from ev_qa_runtime.signature import PublicKey, SignatureState, message, signers, state_of
from ev_qa_runtime.signature_member import Signature

Sign = Callable[..., bytes]
NewKey = Callable[[], Any]
Seal = Callable[[str], bytes]

DATA = Path(__file__).parents[1] / "data" / "ed25519"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RFC_8032 = json.loads((DATA / "rfc8032.json").read_text(encoding="utf-8"))["cases"]
WYCHEPROOF = json.loads((DATA / "wycheproof.json").read_text(encoding="utf-8"))["cases"]

needs_cryptography = pytest.mark.usefixtures("new_key")


@pytest.fixture(scope="module")
def plain(reference: Path) -> bytes:
    """The shipped, unsigned sidecar."""
    return reference.with_name(reference.name + ".json").read_bytes()


@pytest.fixture(scope="module")
def key(new_key: NewKey) -> Any:
    return new_key()


@pytest.fixture(scope="module")
def public(key: Any) -> PublicKey:
    return PublicKey.of(key.public_key())


@pytest.fixture(scope="module")
def by_key(plain: bytes, key: Any, signed: Sign) -> bytes:
    """The shipped sidecar, signed a moment before :data:`NOW`."""
    return signed(plain, key, signed="2026-06-01T11:59:30Z")


# --- the primitive ----------------------------------------------------------------------------------------------------


def verifies(case: dict[str, str]) -> bool:
    public_key, text, value = (bytes.fromhex(case[name]) for name in ("public_key", "message", "signature"))
    return PublicKey(public_key).verifies(value, text)


@needs_cryptography
@pytest.mark.parametrize("case", RFC_8032, ids=lambda case: case["comment"])
def test_the_vectors_of_rfc_8032_verify(case: dict[str, str]) -> None:
    assert verifies(case)
    assert not verifies(case | {"message": case["message"] + "00"})


@needs_cryptography
@pytest.mark.parametrize("case", WYCHEPROOF, ids=lambda case: str(case["id"]))
def test_the_cases_of_wycheproof(case: dict[str, str]) -> None:
    """``acceptable`` are public keys of small or mixed order, which nobody's key generator makes."""
    assert verifies(case) is (case["result"] != "invalid")


def test_the_published_cases_are_all_there() -> None:
    results = [case["result"] for case in WYCHEPROOF]
    assert [case["comment"] for case in RFC_8032] == ["TEST 1", "TEST 2", "TEST 3", "TEST 1024", "TEST SHA(abc)"]
    assert {result: results.count(result) for result in results} == {"valid": 117, "invalid": 64, "acceptable": 29}


# --- the file ---------------------------------------------------------------------------------------------------------


def test_an_unsigned_sidecar_has_the_bytes_it_always_had(plain: bytes) -> None:
    assert sidecar.encode(sidecar.decode(plain)) == plain
    assert signature_member.split(plain) == (plain[:-68] + b"0" * 64 + plain[-4:], ())
    assert signature_member.with_signatures(plain, ()) == plain


def test_a_signature_is_cut_out_again_to_the_byte(plain: bytes, by_key: bytes, public: PublicKey) -> None:
    blank, found = signature_member.split(by_key)
    assert blank == signature_member.split(plain)[0]
    assert [one.statement() for one in found] == [
        {"key_id": public.key_id, "signed": "2026-06-01T11:59:30Z", "expires": None}
    ]
    assert signature_member.with_signatures(plain, found) == by_key
    assert signature_member.with_signatures(by_key, ()) == plain
    assert sidecar.decode(by_key) == sidecar.decode(plain)
    assert sidecar.encode(sidecar.decode(by_key)) == plain


def test_the_layout_of_a_signed_sidecar_is_fixed(plain: bytes) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    two = (Signature("0123456789abcdef", when, None, bytes(64)), Signature("f" * 16, when, when, b"\xff" * 64))
    written = signature_member.with_signatures(plain, two)
    head, end, _ = written.rpartition(b',\n "sidecar_sha256": "')
    assert end
    assert head.endswith(
        b'\n },\n "signatures": [\n  {\n   "key_id": "0123456789abcdef",\n   "signed": "2026-01-02T03:04:05Z",\n'
        b'   "expires": null,\n   "signature": "' + b"A" * 86 + b'=="\n  },\n  {\n   "key_id": "ffffffffffffffff",\n'
        b'   "signed": "2026-01-02T03:04:05Z",\n   "expires": "2026-01-02T03:04:05Z",\n'
        b'   "signature": "' + b"/" * 85 + b'w=="\n  }\n ]'
    )
    assert signature_member.split(written)[1] == two


def test_what_is_signed_is_fixed(plain: bytes) -> None:
    one = Signature("0123456789abcdef", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None, bytes(64))
    statement = b'{"key_id":"0123456789abcdef","signed":"2026-01-02T03:04:05Z","expires":null}'
    blank = plain[:-68] + b"0" * 64 + plain[-4:]
    assert message(one, blank) == b"ev-qa-model-signature-v1\n" + statement + b"\n" + blank


def test_a_key_id_is_the_beginning_of_the_keys_sha_256() -> None:
    raw = bytes.fromhex(RFC_8032[0]["public_key"])
    assert PublicKey(raw).key_id == hashlib.sha256(raw).hexdigest()[:16] == "21fe31dfa154a261"


def test_a_sidecar_that_something_else_spelled_is_not_signed(plain: bytes, sealed: Seal) -> None:
    other = sealed(plain.decode().replace(',\n "sidecar_sha256"', ', "sidecar_sha256"'))
    assert sidecar.decode(other) == sidecar.decode(plain)
    with pytest.raises(ArtifactError, match="not spelled as ev-qa writes it, so it cannot be signed"):
        signature_member.with_signatures(other, ())


def test_a_member_of_that_name_elsewhere_is_none_of_ours(plain: bytes, sealed: Seal) -> None:
    decoy = ',\n "signatures": [\n  {\n   "key_id": "0123456789abcdef"\n  }\n ]'
    data = sealed(plain.decode().replace('"version": "1.0.0"\n }', f'"version": "1.0.0"{decoy}\n }}'))
    assert sidecar.decode(data).metadata["signatures"] == [{"key_id": "0123456789abcdef"}]
    assert signature_member.split(data)[1] == ()


ENTRY = (
    '  {\n   "key_id": "0123456789abcdef",\n   "signed": "2026-01-02T03:04:05Z",\n'
    '   "expires": null,\n   "signature": "' + "A" * 86 + '=="\n  }'
)


@pytest.mark.parametrize(
    "member",
    [
        '"signatures": []',
        '"signatures": null',
        '"signatures": {}',
        '"signatures": [\n ]',
        '"signatures": [{}]',
        f'"signatures": [{ENTRY}]',
        f'"signatures": [\n{ENTRY}\n ],\n "note": 1',
        f'"signatures": [\n{ENTRY}\n ] ',
        f'"signatures" : [\n{ENTRY}\n ]',
        f'"\\u0073ignatures": [\n{ENTRY}\n ]',
        '"signatures": [\n' + ENTRY.replace("AAAA==", "AAAB==") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("AAAA==", "AAA=") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("AAAA==", "AAAA") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("AAAA==", "AA\\nAA==") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("AAAA==", "-_-_==") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("abcdef", "ABCDEF") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("abcdef", "abcde") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("null", '"null"') + "\n ]",
        '"signatures": [\n' + ENTRY.replace("null", "1") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("01-02T", "02-30T") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("05Z", "05+00:00") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("2026", "0026") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("2026", "٢٠٢٦") + "\n ]",
        '"signatures": [\n' + ENTRY.replace("null", 'null,\n   "note": 1') + "\n ]",
        '"signatures": [\n' + ENTRY.replace('   "signature"', '   "signature" ') + "\n ]",
    ],
    ids=range(25),
)
def test_any_other_spelling_is_refused(plain: bytes, sealed: Seal, member: str) -> None:
    data = sealed(plain.decode().replace(',\n "sidecar_sha256"', f',\n {member},\n "sidecar_sha256"'))
    with pytest.raises(ArtifactError, match=r"sidecar: signatures are not spelled as ev-qa writes them"):
        sidecar.decode(data)


def test_the_spelling_that_the_others_differ_from_is_taken(plain: bytes, sealed: Seal) -> None:
    member = f'"signatures": [\n{ENTRY}\n ]'
    data = sealed(plain.decode().replace(',\n "sidecar_sha256"', f',\n {member},\n "sidecar_sha256"'))
    assert sidecar.decode(data) == sidecar.decode(plain)


def test_a_key_that_stands_there_twice_is_refused(plain: bytes) -> None:
    one = Signature("0123456789abcdef", NOW, None, bytes(64))
    twice = signature_member.with_signatures(plain, (one, dataclasses.replace(one, value=b"x" * 64)))
    with pytest.raises(ArtifactError, match="sidecar: signatures: a key stands there twice"):
        sidecar.decode(twice)


times = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)).map(
    lambda time: time.replace(microsecond=0, tzinfo=UTC)
)
signatures = st.builds(
    Signature,
    st.text("0123456789abcdef", min_size=16, max_size=16),
    times,
    st.none() | times,
    st.binary(min_size=64, max_size=64),
)


@given(st.lists(signatures, max_size=4, unique_by=lambda one: one.key_id))
def test_signatures_come_back_as_they_were(plain: bytes, listed: list[Signature]) -> None:
    written = signature_member.with_signatures(plain, tuple(listed))
    assert signature_member.split(written) == (signature_member.split(plain)[0], tuple(listed))
    assert sidecar.decode(written) == sidecar.decode(plain)
    assert signature_member.with_signatures(written, ()) == plain


# --- who signed -------------------------------------------------------------------------------------------------------


def test_a_good_signature_names_its_key(by_key: bytes, public: PublicKey) -> None:
    assert signers(by_key, (public,), NOW) == (public.key_id,)


def test_several_keys_may_sign(by_key: bytes, signed: Sign, new_key: NewKey, public: PublicKey) -> None:
    second = new_key()
    other = PublicKey.of(second.public_key())
    both = signed(by_key, second, signed="2026-06-01T00:00:00Z")
    assert signers(both, (public, other), NOW) == (public.key_id, other.key_id)
    assert signers(both, (other,), NOW) == (other.key_id,)
    assert signers(both, (PublicKey.of(new_key().public_key()),), NOW) == ()


@pytest.mark.parametrize(
    ("signed_at", "expires", "state"),
    [
        ("2026-06-01T12:00:00Z", None, SignatureState.VALID),
        ("2026-06-01T12:05:00Z", None, SignatureState.VALID),
        ("2026-06-01T12:05:01Z", None, SignatureState.FROM_THE_FUTURE),
        ("2036-06-01T12:00:00Z", "2037-06-01T12:00:00Z", SignatureState.FROM_THE_FUTURE),
        ("2026-06-01T11:00:00Z", "2026-06-01T12:00:01Z", SignatureState.VALID),
        ("2026-06-01T11:00:00Z", "2026-06-01T12:00:00Z", SignatureState.EXPIRED),
        ("2025-06-01T11:00:00Z", "2025-06-02T12:00:00Z", SignatureState.EXPIRED),
        ("1999-01-01T00:00:00Z", None, SignatureState.VALID),
    ],
)
def test_when_a_signature_is_valid(
    plain: bytes,
    key: Any,
    public: PublicKey,
    signed: Sign,
    signed_at: str,
    expires: str | None,
    state: SignatureState,
) -> None:
    data = signed(plain, key, signed=signed_at, expires=expires)
    blank, (one,) = signature_member.split(data)
    assert state_of(one, blank, (public,), NOW) is state
    if state is SignatureState.VALID:
        assert signers(data, (public,), NOW) == (public.key_id,)
    else:
        told = f"expired at {expires}" if state is SignatureState.EXPIRED else f"is dated {signed_at}, in the future"
        with pytest.raises(SignatureError, match=rf"the signature by key {public.key_id} {told}"):
            signers(data, (public,), NOW)


def test_an_expired_signature_does_not_harm_a_valid_one(
    plain: bytes, key: Any, public: PublicKey, signed: Sign, new_key: NewKey
) -> None:
    second = new_key()
    other = PublicKey.of(second.public_key())
    old = signed(plain, key, signed="2025-01-01T00:00:00Z", expires="2026-01-01T00:00:00Z")
    assert signers(signed(old, second, signed="2026-01-01T00:00:00Z"), (public, other), NOW) == (other.key_id,)


def test_a_forged_signature_is_not_mended_by_a_good_one(
    by_key: bytes, public: PublicKey, signed: Sign, new_key: NewKey
) -> None:
    second = new_key()
    other = PublicKey.of(second.public_key())
    both = signed(by_key, second, signed="2026-06-01T00:00:00Z")
    first, good = signature_member.split(both)[1]
    forged = signature_member.with_signatures(both, (dataclasses.replace(first, value=bytes(64)), good))
    with pytest.raises(SignatureError, match=f"the signature by key {public.key_id} does not verify"):
        signers(forged, (public, other), NOW)


def test_keys_that_share_an_id_are_each_tried(
    by_key: bytes, public: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (one,) = signature_member.split(by_key)
    monkeypatch.setattr(PublicKey, "key_id", one.key_id)
    stranger = PublicKey(bytes.fromhex(RFC_8032[0]["public_key"]))
    blank, _ = signature_member.split(by_key)
    assert state_of(one, blank, (stranger, public), NOW) is SignatureState.VALID
    assert state_of(one, blank, (stranger,), NOW) is SignatureState.FORGED


@settings(max_examples=300)
@given(data=st.data(), fitting=st.booleans())
def test_any_changed_byte_of_a_signed_sidecar_is_refused(
    by_key: bytes, public: PublicKey, data: st.DataObject, fitting: bool
) -> None:
    position = data.draw(st.integers(0, len(by_key) - 1))
    changed = bytearray(by_key)
    changed[position] ^= data.draw(st.integers(1, 255))
    forged = bytes(changed)
    if fitting and forged[-89:-68] + forged[-4:] == by_key[-89:-68] + by_key[-4:]:
        forged = seal_blank(forged)
    if forged == by_key:
        return  # the digest was changed, and made to fit again
    with pytest.raises((ArtifactError, SignatureError)):
        _check(forged, public)


def _check(data: bytes, public: PublicKey) -> None:
    sidecar.decode(data)
    assert signers(data, (public,), NOW)


@given(st.binary(max_size=300))
@example(b',\n "signatures": [\n')
@example(b'"sidecar_sha256": "')
def test_cutting_never_fails_on_any_bytes(data: bytes) -> None:
    blank, found = signature_member.split(data)
    assert found == ()
    assert blank.endswith(b'"\n}\n')


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem(key: Any) -> bytes:
    return pem_of(key)


def pem_of(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - not there in the slim environment

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    encoded: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return encoded


def test_a_public_key_in_pem(pem: bytes, public: PublicKey) -> None:
    assert PublicKey.from_pem(pem) == public
    assert PublicKey.from_pem(b"a comment before it\n" + pem) == public


def test_everything_else_is_no_public_key(pem: bytes, key: Any, new_key: NewKey) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - not there in the slim environment
    from cryptography.hazmat.primitives.asymmetric import rsa, x25519  # noqa: PLC0415 - the same

    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    others = [
        b"",
        b"\x00" * 32,
        pem[:-30],
        pem.replace(b"MCow", b"MCox"),
        private,
        pem + pem,
        pem + pem_of(new_key()),
        pem + private,
        pem_of(x25519.X25519PrivateKey.generate()),
        pem_of(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    ]
    for other in others:
        with pytest.raises(ConfigurationError, match=r"^here: this is not one Ed25519 public key in PEM form$"):
            PublicKey.from_pem(other, "here")


def test_a_key_of_another_type_is_refused(key: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric import x25519  # noqa: PLC0415 - not there in the slim environment

    for other in (key, x25519.X25519PrivateKey.generate().public_key(), 5, None):
        with pytest.raises(ConfigurationError, match=r"is no public key: give a path, PEM or a key"):
            PublicKey.of(other)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_raw_key_has_32_bytes(length: int) -> None:
    with pytest.raises(ConfigurationError, match=f"an Ed25519 public key must be 32 bytes, not {length}"):
        PublicKey(bytes(length))


# --- without cryptography ---------------------------------------------------------------------------------------------

BLOCKED = """
import sys
sys.modules["cryptography"] = None  # what Python takes as "cannot be imported"
import ev_qa_runtime
print(ev_qa_runtime.load_model(sys.argv[1]).info["signed_by"])
for keys in (b"-----BEGIN PUBLIC KEY-----", sys.argv[2]):
    try:
        ev_qa_runtime.load_model(sys.argv[1], public_keys=[keys])
    except ev_qa_runtime.SignatureError as error:
        print(error)
"""


def test_without_cryptography_models_load_and_keys_say_what_is_missing(
    copied: Path, plain: bytes, tmp_path: Path
) -> None:
    one = Signature("0123456789abcdef", NOW, None, bytes(64))
    copied.with_name(copied.name + ".json").write_bytes(signature_member.with_signatures(plain, (one,)))
    public_file = tmp_path / "release.pub"
    public_file.write_text("-----BEGIN PUBLIC KEY-----\n")
    command = [sys.executable, "-c", BLOCKED, str(copied), str(public_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    missing = "signatures are checked with the package cryptography, which is not installed: pip install cryptography"
    assert done.stdout.splitlines() == ["[]", missing, missing]


def test_without_keys_nothing_of_cryptography_is_imported(copied: Path, plain: bytes) -> None:
    one = Signature("0123456789abcdef", NOW, None, bytes(64))
    copied.with_name(copied.name + ".json").write_bytes(signature_member.with_signatures(plain, (one,)))
    program = (
        "import sys, ev_qa_runtime\n"
        "ev_qa_runtime.load_model(sys.argv[1], minimum_version='1.0').score(voltage=1, current=1, temp=1)\n"
        "print([name for name in sys.modules if name.startswith(('cryptography', '_cffi'))])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(copied)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "[]\n")


# --- the loader -------------------------------------------------------------------------------------------------------


def test_a_signed_model_loads_and_says_who_signed(
    copied: Path, plain: bytes, key: Any, public: PublicKey, signed: Sign
) -> None:
    copied.with_name(copied.name + ".json").write_bytes(signed(plain, key))
    detector = load_model(copied, public_keys=[public])
    assert detector.info["signed_by"] == [public.key_id]
    assert load_model(copied).info["signed_by"] == []
    assert detector.contract == sidecar.decode(plain)


def test_the_signature_is_checked_before_any_payload_is_opened(
    copied: Path, plain: bytes, key: Any, public: PublicKey, signed: Sign
) -> None:
    data = signed(plain, key)
    (one,) = signature_member.split(data)[1]
    forged = signature_member.with_signatures(data, (dataclasses.replace(one, value=bytes(64)),))
    copied.with_name(copied.name + ".json").write_bytes(forged)
    copied.with_name(copied.name + ".onnx").unlink()
    with pytest.raises(SignatureError, match=r"demo_pack_v1.0.0.json: the signature by key .* does not verify"):
        load_model(copied, public_keys=[public])


def test_a_changed_byte_is_an_integrity_error_before_it_is_a_signature_error(by_key: bytes) -> None:
    with pytest.raises(IntegrityError, match="do not match its own digest"):
        sidecar.decode(by_key.replace(b'"expires": null', b'"expires": nulL').replace(b"nulL", b"null "))


def test_the_independent_signer_spells_base64_as_we_do(by_key: bytes) -> None:
    (one,) = signature_member.split(by_key)[1]
    assert one.members()["signature"] == base64.b64encode(one.value).decode()
