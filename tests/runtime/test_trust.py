"""The trust policy: what is demanded by arguments and by the environment, and that every doubt is a refusal."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime import ArtifactError, IncompatibleModelError, ModelService, SignatureError, load_model
from ev_qa_runtime.artifact import read_artifact, read_contract
from ev_qa_runtime.errors import ConfigurationError
from ev_qa_runtime.exit_codes import INPUT, MODEL
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.signature import PublicKey
from ev_qa_runtime.trust import NO_DEMANDS, TrustPolicy

Sign = Callable[..., bytes]
NewKey = Callable[[], Any]
Run = Callable[..., Any]

VARIABLES = ("EV_QA_PUBLIC_KEYS", "EV_QA_REQUIRE_SIGNATURE", "EV_QA_MINIMUM_VERSION")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@dataclasses.dataclass(frozen=True)
class Keys:
    """A trusted key and a stranger's, and the folder with both ``.pub`` files."""

    folder: Path
    ours: Any
    strange: Any

    @property
    def our_file(self) -> Path:
        return self.folder / "ours.pub"

    @property
    def our_id(self) -> str:
        return PublicKey.of(self.ours.public_key()).key_id

    @property
    def strange_id(self) -> str:
        return PublicKey.of(self.strange.public_key()).key_id


@pytest.fixture(scope="module")
def keys(new_key: NewKey, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - not there in the slim environment

    folder = tmp_path_factory.mktemp("keys")
    both = {"ours": new_key(), "strange": new_key()}
    for name, key in both.items():
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        (folder / f"{name}.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    return Keys(folder, **both)


@pytest.fixture
def sign_copy(copied: Path, signed: Sign, keys: Keys) -> Callable[..., Path]:
    """``sign_copy("ours", "strange", expires=…)``: sign the private copy of the model; its path."""

    def sign(*names: str, **times: str) -> Path:
        path = Path(f"{copied}.json")
        for name in names:
            path.write_bytes(signed(path.read_bytes(), getattr(keys, name), **times))
        return copied

    return sign


# --- the matrix: keys × require × signed by ---------------------------------------------------------------------------

LOADS, UNSIGNED, UNTRUSTED, FORGED, NO_KEYS = (
    "loads",
    "is not signed, and a signature is demanded",
    "which is not trusted here",
    "does not verify",
    "no public key is given to check it with",
)

MATRIX = [
    # keys given, require_signature, signed by: nobody, ours, a stranger, both, ours but forged
    (False, None, (LOADS, LOADS, LOADS, LOADS, LOADS)),
    (False, False, (LOADS, LOADS, LOADS, LOADS, LOADS)),
    (False, True, (NO_KEYS, NO_KEYS, NO_KEYS, NO_KEYS, NO_KEYS)),
    (True, None, (UNSIGNED, LOADS, UNTRUSTED, LOADS, FORGED)),
    (True, True, (UNSIGNED, LOADS, UNTRUSTED, LOADS, FORGED)),
    (True, False, (LOADS, LOADS, LOADS, LOADS, FORGED)),
]
SIGNED_BY = ("nobody", "ours", "a stranger", "both", "forged")


def signed_as(how: str, sign_copy: Callable[..., Path]) -> Path:
    if how == "forged":
        path = sign_copy("ours")
        sidecar_file = path.with_name(path.name + ".json")
        from ev_qa_runtime import signature_member  # noqa: PLC0415 - of this case alone

        data = sidecar_file.read_bytes()
        (one,) = signature_member.split(data)[1]
        sidecar_file.write_bytes(signature_member.with_signatures(data, (dataclasses.replace(one, value=bytes(64)),)))
        return path
    return sign_copy(*{"nobody": (), "ours": ("ours",), "a stranger": ("strange",), "both": ("strange", "ours")}[how])


@pytest.mark.parametrize("by_environment", [False, True], ids=["arguments", "environment"])
@pytest.mark.parametrize(
    ("given_keys", "require", "how", "expected"),
    [
        pytest.param(given_keys, require, how, expected, id=f"keys={given_keys}, require={require}, {how}")
        for given_keys, require, row in MATRIX
        for how, expected in zip(SIGNED_BY, row, strict=True)
    ],
)
def test_the_matrix_of_policies(
    given_keys: bool,
    require: bool | None,
    how: str,
    expected: str,
    by_environment: bool,
    keys: Keys,
    sign_copy: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = signed_as(how, sign_copy)
    arguments: dict[str, Any] = {"require_signature": require}
    if given_keys:
        arguments["public_keys"] = [keys.our_file]
    if by_environment:
        arguments = {}
        if given_keys:
            monkeypatch.setenv("EV_QA_PUBLIC_KEYS", str(keys.our_file))
        if require is not None:
            monkeypatch.setenv("EV_QA_REQUIRE_SIGNATURE", "yes" if require else "no")
    if expected is LOADS:
        verified = [keys.our_id] if given_keys and how in ("ours", "both") else []
        assert load_model(path, **arguments).info["signed_by"] == verified
        assert ModelService(path, **arguments).model.info["signed_by"] == verified
    else:
        with pytest.raises(SignatureError, match=expected):
            load_model(path, **arguments)
        with pytest.raises(SignatureError, match=expected):
            _ = ModelService(path, **arguments).model


def test_the_refusal_names_who_signed_and_who_is_trusted(keys: Keys, sign_copy: Callable[..., Path]) -> None:
    with pytest.raises(
        SignatureError,
        match=rf"demo_pack_v1.0.0.json: the model is signed by key {keys.strange_id}, which is not trusted here "
        rf"\({keys.our_id}\): take another model, or add the public key",
    ):
        load_model(sign_copy("strange"), public_keys=keys.our_file)


def test_expired_and_future_signatures_are_refused_by_the_real_clock(
    keys: Keys, sign_copy: Callable[..., Path], copied: Path, reference: Path
) -> None:
    old = sign_copy("ours", signed="2020-01-01T00:00:00Z", expires="2021-01-01T00:00:00Z")
    with pytest.raises(SignatureError, match=r"expired at 2021-01-01T00:00:00Z: take a model that was signed anew"):
        load_model(old, public_keys=keys.our_file)
    shutil.copyfile(f"{reference}.json", f"{copied}.json")
    ahead = sign_copy("ours", signed="2999-01-01T00:00:00Z")
    with pytest.raises(SignatureError, match=r"is dated 2999-01-01T00:00:00Z, in the future: set this machine's clock"):
        load_model(ahead, public_keys=keys.our_file)


# --- arguments --------------------------------------------------------------------------------------------------------


def test_keys_are_given_in_any_form(keys: Keys) -> None:
    ours = PublicKey.of(keys.ours.public_key())
    strange = PublicKey.of(keys.strange.public_key())
    forms: list[Any] = [
        ours,
        keys.ours.public_key(),
        keys.our_file,
        str(keys.our_file),
        keys.our_file.read_bytes(),
    ]
    for form in forms:
        assert TrustPolicy.of(form).public_keys == (ours,)
        assert TrustPolicy.of([form]).public_keys == (ours,)
    assert TrustPolicy.of(forms).public_keys == (ours,)
    assert TrustPolicy.of(keys.folder).public_keys == (ours, strange)
    assert TrustPolicy.of(iter([keys.folder, ours])).public_keys == (ours, strange)
    assert TrustPolicy.of((strange, keys.folder)).public_keys == (strange, ours)


def test_giving_no_key_is_no_way_around_a_demand() -> None:
    with pytest.raises(
        SignatureError, match=r"no public key is given to check it with: give public_keys .* or set EV_QA"
    ):
        TrustPolicy.of([])
    assert TrustPolicy.of([], require_signature=False) == NO_DEMANDS == TrustPolicy.of()


def test_an_argument_comes_before_the_environment(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EV_QA_PUBLIC_KEYS", str(keys.folder))
    monkeypatch.setenv("EV_QA_REQUIRE_SIGNATURE", "1")
    monkeypatch.setenv("EV_QA_MINIMUM_VERSION", "2.0")
    everything = TrustPolicy.of()
    assert (len(everything.public_keys), everything.require_signature) == (2, True)
    assert everything.minimum_version == ModelVersion(2, 0, 0)
    changed = TrustPolicy.of(keys.our_file, require_signature=False, minimum_version="1.2.3")
    assert [key.key_id for key in changed.public_keys] == [keys.our_id]
    assert (changed.require_signature, changed.minimum_version) == (False, ModelVersion(1, 2, 3))


def test_a_policy_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        NO_DEMANDS.require_signature = True  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("value", ["false", "no", 0, 1, []])
def test_require_signature_is_a_truth_value(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="require_signature must be True, False or None, not "):
        TrustPolicy.of(None, value)


@pytest.mark.parametrize("value", ["", "two", "1", "1.2.3.4", "1.2-rc"])
def test_a_minimum_version_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^minimum_version \(--minimum-version\): '.*' is not a model version"
    ):
        TrustPolicy.of(minimum_version=value)
    monkeypatch.setenv("EV_QA_MINIMUM_VERSION", value)
    with pytest.raises(ConfigurationError, match=r"^EV_QA_MINIMUM_VERSION: '.*' is not a model version"):
        TrustPolicy.of()


def test_a_number_is_no_version() -> None:
    with pytest.raises(
        ConfigurationError, match=r"minimum_version \(--minimum-version\) must be text such as '2.0.1', not 1.1"
    ):
        TrustPolicy.of(minimum_version=1.10)  # type: ignore[arg-type]  # which would be 1.1, not 1.10


@pytest.mark.parametrize("source", [5, None, object()])
def test_what_is_no_key_is_refused(source: Any, new_key: NewKey) -> None:
    with pytest.raises(
        ConfigurationError, match=r"public_keys \(--public-key\): a \w+ is no public key: give a path, PEM or a key"
    ):
        TrustPolicy.of([source])


def test_a_path_without_a_key_is_refused(tmp_path: Path, new_key: NewKey) -> None:
    for path in ("", str(tmp_path / "none.pub"), tmp_path / "none"):
        with pytest.raises(ConfigurationError, match=r"there is no public key at '.*': name a file or a folder"):
            TrustPolicy.of([path])
    with pytest.raises(ConfigurationError, match=r"public_keys \(--public-key\): the folder .* holds no .pub file"):
        TrustPolicy.of(tmp_path)
    (tmp_path / "broken.pub").write_bytes(b"-----BEGIN PUBLIC KEY-----\n")
    with pytest.raises(ConfigurationError, match=r"broken.pub: this is not one Ed25519 public key in PEM form"):
        TrustPolicy.of(tmp_path)


# --- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "yes", "Yes"])
def test_the_environment_demands_signatures(text: str, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EV_QA_REQUIRE_SIGNATURE", text)
    with pytest.raises(SignatureError, match="no public key is given"):
        load_model(copied)
    with pytest.raises(SignatureError, match="no public key is given"):
        read_artifact(copied)
    assert read_contract(copied).name == "demo_pack_v1.0.0"  # says what a model claims to be, signed or not


@pytest.mark.parametrize("text", ["0", "false", "No"])
def test_the_environment_asks_for_nothing(text: str, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EV_QA_REQUIRE_SIGNATURE", text)
    assert load_model(copied).info["signed_by"] == []


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_any_other_answer_is_an_error(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EV_QA_REQUIRE_SIGNATURE", text)
        if text.lower() in ("1", "true", "yes", "0", "false", "no"):
            return
        with pytest.raises(ConfigurationError, match="EV_QA_REQUIRE_SIGNATURE must be one of 1, true, yes, 0, false"):
            TrustPolicy.of()


def test_the_environments_keys_are_files_and_folders(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(keys.folder / "strange.pub", tmp_path / "other.pub")
    monkeypatch.setenv("EV_QA_PUBLIC_KEYS", os.pathsep.join([str(keys.our_file), str(tmp_path)]))
    assert [key.key_id for key in TrustPolicy.of().public_keys] == [keys.our_id, keys.strange_id]
    for broken in ("", os.pathsep, f"{keys.our_file}{os.pathsep}", f"{os.pathsep}{tmp_path}"):
        monkeypatch.setenv("EV_QA_PUBLIC_KEYS", broken)
        with pytest.raises(ConfigurationError, match=r"^EV_QA_PUBLIC_KEYS: there is no public key at '': name a file"):
            TrustPolicy.of()


# --- the floor --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minimum", "loads"),
    [("0.9", True), ("1.0.0", True), ("1.0", True), ("1.0.1", False), ("1.1", False), ("v2.0", False)],
)
def test_a_version_below_the_floor_is_refused(minimum: str, loads: bool, copied: Path) -> None:
    if loads:
        assert load_model(copied, minimum_version=minimum).contract.version == ModelVersion(1, 0, 0)
    else:
        with pytest.raises(
            IncompatibleModelError,
            match=r"json: the model has version 1.0.0, at least .* is demanded here: take a newer",
        ):
            load_model(copied, minimum_version=minimum)


def test_the_signature_is_judged_before_the_version_it_vouches_for(keys: Keys, copied: Path) -> None:
    with pytest.raises(SignatureError, match="is not signed"):
        load_model(copied, public_keys=keys.our_file, minimum_version="9.0")


# --- the commands -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["verify", "info", "score"])
def test_the_commands_take_a_policy(
    command: str, run: Run, keys: Keys, sign_copy: Callable[..., Path], reference: Path, fault_csv: Path
) -> None:
    telemetry = [fault_csv] if command == "score" else []
    path = sign_copy("ours")

    good = run(command, path, *telemetry, "--public-key", keys.our_file, "--minimum-version", "1.0")
    assert (good.returncode, good.stderr) == (0, "")
    assert keys.our_id in good.stdout

    def refused(code: int, message: str, *arguments: object) -> None:
        done = run(command, *arguments[:1], *telemetry, *arguments[1:])
        assert (done.returncode, done.stdout) == (code, "")
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1

    refused(MODEL, "is not signed", reference, "--public-key", keys.our_file)
    refused(MODEL, "which is not trusted here", path, "--public-key", keys.folder / "strange.pub")
    refused(MODEL, "no public key is given", path, "--require-signature")
    refused(MODEL, "at least 1.0.1 is demanded", path, "--minimum-version", "1.0.1")
    refused(INPUT, "there is no public key at", path, "--public-key", keys.folder / "none.pub")
    refused(INPUT, "is not a model version", path, "--minimum-version", "one")
    assert run(command, reference, *telemetry, "--public-key", keys.folder, "--no-require-signature").returncode == 0


def test_the_commands_obey_the_environment(run: Run, copied: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EV_QA_PUBLIC_KEYS", str(keys.folder))
    for command in ("verify", "info", "bench"):
        done = run(command, copied)
        assert (done.returncode, done.stdout) == (MODEL, "")
        assert "is not signed, and a signature is demanded here" in done.stderr


def test_every_refusal_is_an_artifact_error() -> None:
    assert issubclass(SignatureError, ArtifactError)
    assert issubclass(IncompatibleModelError, ArtifactError)
