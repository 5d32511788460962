"""Keys, signing and loading signed models on the training side, and the campaign of forgeries."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tools.campaigns import signature_tampering

from ev_qa_framework import EVBatteryAnalyzer, ModelService, commit
from ev_qa_framework.cli import main
from ev_qa_framework.publishing import publish_model
from ev_qa_framework.registry import Registry
from ev_qa_framework.signing import (
    SigningKey,
    expiry,
    generate_key,
    is_encrypted,
    read_private_key,
    sign_model,
    signed_sidecar,
)
from ev_qa_runtime import ArtifactError, IntegrityError, ModelNotFoundError, SignatureError, load_model, sidecar
from ev_qa_runtime.errors import ConfigurationError, IncompatibleModelError
from ev_qa_runtime.exit_codes import FILES, INPUT, MODEL, USAGE
from ev_qa_runtime.signature import PublicKey
from ev_qa_runtime.signature_member import split, with_signatures

FilesIn = Callable[[Path], dict[str, bytes]]
Run = Callable[..., subprocess.CompletedProcess[str]]
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RFC_8032 = Path(__file__).parents[1] / "data" / "ed25519" / "rfc8032.json"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EV_QA_PUBLIC_KEYS", "EV_QA_REQUIRE_SIGNATURE", "EV_QA_MINIMUM_VERSION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.generate())


@pytest.fixture
def key_file(key: SigningKey, tmp_path: Path) -> Path:
    """The key's private file, without passphrase."""
    file = tmp_path / "keys" / "release.key"
    file.parent.mkdir()
    file.write_bytes(
        key.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return file


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``ev-qa`` within this process, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = main([str(argument) for argument in arguments])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run_command


def json_of(model: Path) -> Path:
    return model.with_name(model.name + ".json")


def refused(result: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    assert (result.returncode, result.stdout) == (code, ""), result.stderr
    assert message in result.stderr
    if code != USAGE:
        assert len(result.stderr.splitlines()) == 1


# --- forgeries --------------------------------------------------------------------------------------------------------


def test_no_forgery_is_accepted(tmp_path: Path) -> None:
    rows = {row.kind: row for row in signature_tampering.campaign(tmp_path, step=signature_tampering.SLICE_STEP)}
    untouched = rows.pop("untouched")
    assert (untouched.tried, untouched.accepted) == (2, 2)
    assert {kind: row.accepted for kind, row in rows.items() if row.accepted} == {}
    assert all(row.tried for row in rows.values())
    assert rows["each bit of the signature flipped"].tried == 512


def test_the_campaign_finds_a_reader_that_believes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PublicKey, "verifies", lambda _key, _value, _message: True)
    assert signature_tampering.main(["--slice"]) == 1
    assert "each bit of the signature flipped: 512 accepted" in capsys.readouterr().out


# --- keys -------------------------------------------------------------------------------------------------------------


def test_the_key_signs_as_rfc_8032_has_it() -> None:
    for case in json.loads(RFC_8032.read_text(encoding="utf-8"))["cases"]:
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["secret_key"]))
        assert SigningKey(private).public.raw.hex() == case["public_key"]
        assert private.sign(bytes.fromhex(case["message"])).hex() == case["signature"]


@pytest.mark.parametrize("passphrase", [None, "käse und brot"])
def test_a_generated_key_comes_back_from_its_file(tmp_path: Path, passphrase: str | None) -> None:
    made = generate_key(tmp_path / "new folder" / "release", passphrase)
    private, public = (tmp_path / "new folder" / f"release.{suffix}" for suffix in ("key", "pub"))
    assert private.stat().st_mode & 0o777 == 0o600
    assert is_encrypted(private) is (passphrase is not None)
    assert read_private_key(private, passphrase).key_id == made.key_id
    assert PublicKey.from_pem(public.read_bytes()) == made.public
    assert sorted(file.name for file in private.parent.iterdir()) == ["release.key", "release.pub"]
    assert "private" not in repr(made).replace("SigningKey", "")


@pytest.mark.parametrize("suffix", ["key", "pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, suffix: str, files_in: FilesIn) -> None:
    (tmp_path / f"release.{suffix}").write_text("mine")
    with pytest.raises(FileExistsError, match=rf"release.{suffix} exists already: choose another name, a key is never"):
        generate_key(tmp_path / "release.key")
    assert files_in(tmp_path) == {f"release.{suffix}": b"mine"}


def test_a_full_disk_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_in: FilesIn) -> None:
    synced: list[int] = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        generate_key(tmp_path / "release")
    assert files_in(tmp_path) == {}


def test_what_is_no_private_key_is_refused(tmp_path: Path, key: SigningKey, key_file: Path) -> None:
    generate_key(tmp_path / "locked", "secret")
    other = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for data in (b"", b"text", other, (tmp_path / "locked.pub").read_bytes(), key_file.read_bytes()[:-40]):
        (tmp_path / "wrong.key").write_bytes(data)
        with pytest.raises(ConfigurationError, match=r"wrong.key: this is not an Ed25519 private key in PEM form$"):
            read_private_key(tmp_path / "wrong.key")
    with pytest.raises(ConfigurationError, match=r"locked.key: it needs its passphrase: name the variable that holds"):
        read_private_key(tmp_path / "locked.key")
    with pytest.raises(ConfigurationError, match=r"locked.key: .* in PEM form, or its passphrase is another$"):
        read_private_key(tmp_path / "locked.key", "guess")
    with pytest.raises(ConfigurationError, match=r"release.key: it has no passphrase, but one was given"):
        read_private_key(key_file, "secret")
    with pytest.raises(ConfigurationError, match="the passphrase is empty"):
        generate_key(tmp_path / "empty", "")
    with pytest.raises(FileNotFoundError, match=r"none\.key"):
        read_private_key(tmp_path / "none.key")
    assert read_private_key(key) is key
    assert read_private_key(key.private).key_id == read_private_key(key_file).key_id == key.key_id


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        (date(2027, 1, 31), datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31T12:00:30+02:00", datetime(2027, 1, 31, 10, 0, 30, tzinfo=UTC)),
        (datetime(2027, 1, 31, 12, 0, 0, 999, tzinfo=UTC), datetime(2027, 1, 31, 12, tzinfo=UTC)),
        (datetime(2027, 1, 31, tzinfo=timezone(timedelta(hours=-5))), datetime(2027, 1, 31, 5, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_date_or_a_time_with_its_zone(given: Any, expected: datetime | None) -> None:
    assert expiry(given) == expected


@pytest.mark.parametrize("given", ["", "soon", "2027-02-30", "2027-01-31T25:00Z", "31.01.2027"])
def test_an_expiry_that_is_no_time_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="is no date or time such as 2027-01-31 or 2027-01-31T12:00Z"):
        expiry(given)


@pytest.mark.parametrize("given", ["2027-01-31T12:00", datetime(2027, 1, 31)])
def test_an_expiry_without_a_zone_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"the expiry 2027-01-31 .* has no time zone: append Z for UTC"):
        expiry(given)


# --- signing ----------------------------------------------------------------------------------------------------------


def test_signing_changes_the_sidecar_alone(saved: Path, key: SigningKey, files_in: FilesIn) -> None:
    before = files_in(saved.parent)
    made = sign_model(saved, key)
    after = files_in(saved.parent)
    name = json_of(saved).name
    assert {file for file in before if before[file] != after[file]} == {name}
    assert with_signatures(after[name], ()) == before[name]
    assert split(after[name])[1] == (made,)
    assert (made.key_id, made.expires) == (key.key_id, None)
    assert load_model(saved, public_keys=key.public).info["signed_by"] == [key.key_id]
    for backend in ("sklearn", "onnx"):
        loaded = EVBatteryAnalyzer.load_model(saved, backend=backend, public_keys=key.public)  # type: ignore[arg-type]  # one of the choices
        assert loaded.get_model_info()["signed_by"] == [key.key_id]


def test_keys_are_rotated_without_a_gap(saved: Path, key: SigningKey) -> None:
    following = SigningKey(Ed25519PrivateKey.generate())
    sign_model(saved, key)
    sign_model(saved, following)
    for trusted in (key.public, following.public, [key.public, following.public]):
        assert load_model(saved, public_keys=trusted).info["signed_by"]
    with pytest.raises(SignatureError, match=f"key {key.key_id} has signed this model already: use --replace"):
        sign_model(saved, key)
    again = sign_model(saved, key, replace_own=True, expires="2999-01-01")
    assert [one.key_id for one in split(json_of(saved).read_bytes())[1]] == [following.key_id, key.key_id]
    assert split(json_of(saved).read_bytes())[1][1] == again


def test_a_model_that_is_not_whole_is_not_signed(saved: Path, key: SigningKey, files_in: FilesIn) -> None:
    joblib = saved.with_name(saved.name + ".joblib")
    whole = joblib.read_bytes()
    joblib.write_bytes(whole[:-1])
    before = files_in(saved.parent)
    with pytest.raises(IntegrityError, match=r"pack_v1.2.joblib: its bytes are not the ones"):
        sign_model(saved, key)
    joblib.unlink()
    with pytest.raises(ModelNotFoundError, match=r"pack_v1.2.joblib \(its sidecar is there; copy the .joblib file too"):
        sign_model(saved, key)
    joblib.write_bytes(whole[:-1])
    assert files_in(saved.parent) == before
    with pytest.raises(ModelNotFoundError, match="Model file not found: "):
        sign_model(saved.with_name("nothing"), key)


def test_a_model_that_scores_otherwise_is_not_signed(saved: Path, key: SigningKey) -> None:
    contract = sidecar.decode(json_of(saved).read_bytes())
    golden = dataclasses.replace(contract.golden, path_length=tuple(x + 1 for x in contract.golden.path_length))
    json_of(saved).write_bytes(sidecar.encode(dataclasses.replace(contract, golden=golden)))
    with pytest.raises(IntegrityError, match="the golden rows score differently"):
        sign_model(saved, key)


def test_signing_asks_nothing_of_the_environment(saved: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EV_QA_REQUIRE_SIGNATURE", "1")
    monkeypatch.setenv("EV_QA_MINIMUM_VERSION", "9.0")
    assert sign_model(saved, key).key_id == key.key_id


def test_a_signature_never_ends_before_it_begins(saved: Path, key: SigningKey, files_in: FilesIn) -> None:
    before = files_in(saved.parent)
    data = json_of(saved).read_bytes()
    for passed in (NOW, NOW - timedelta(seconds=1)):
        with pytest.raises(ConfigurationError, match=r"the signature would expire at 2026-06-01 .* which has passed"):
            signed_sidecar(data, key, NOW, passed)
    with pytest.raises(ConfigurationError, match="the signature would expire at 2020-01-01 00:00:00 UTC, which has"):
        sign_model(saved, key, expires="2020-01-01")
    assert files_in(saved.parent) == before


@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_a_disk_that_refuses_leaves_the_old_sidecar(
    saved: Path, key: SigningKey, name: str, monkeypatch: pytest.MonkeyPatch, files_in: FilesIn
) -> None:
    before = files_in(saved.parent)

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, name, refuse)
    with pytest.raises(OSError, match="Input/output error"):
        sign_model(saved, key)
    assert files_in(saved.parent) == before


def test_two_signers_at_once_lose_nothing(saved: Path) -> None:
    keys = [SigningKey(Ed25519PrivateKey.generate()) for _ in range(6)]
    threads = [threading.Thread(target=sign_model, args=(saved, key)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [one.key_id for one in split(json_of(saved).read_bytes())[1]]
    assert sorted(found) == sorted(key.key_id for key in keys)
    assert sorted(load_model(saved, public_keys=[key.public for key in keys]).info["signed_by"]) == sorted(found)


def test_a_sidecar_changed_meanwhile_is_not_signed(
    saved: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = json_of(saved).read_bytes()
    other = sidecar.encode(dataclasses.replace(sidecar.decode(data), metadata={"put": "there by somebody else"}))
    real = commit.rewrite_sidecar

    def rewritten(paths: Any, rewrite: Callable[[bytes], bytes]) -> None:
        def late(read: bytes) -> bytes:
            json_of(saved).write_bytes(other)
            return rewrite(read)

        real(paths, late)

    monkeypatch.setattr("ev_qa_framework.signing.rewrite_sidecar", rewritten)
    with pytest.raises(ArtifactError, match="the model changed while it was being signed: sign it again"):
        sign_model(saved, key)
    assert json_of(saved).read_bytes() == other


# --- saving and loading -----------------------------------------------------------------------------------------------


def test_a_model_is_signed_as_it_is_saved(analyzer: EVBatteryAnalyzer, tmp_path: Path, key_file: Path) -> None:
    public = read_private_key(key_file).public
    for name, given in (("path", key_file), ("text", str(key_file)), ("key", read_private_key(key_file).private)):
        path = tmp_path / name
        other = EVBatteryAnalyzer.load_model(_saved(analyzer, path), backend="sklearn")
        other.save_model(path, sign_with=given, signature_expires="2999-01-01")
        assert other.get_model_info()["signed_by"] == [public.key_id]
        assert load_model(path, public_keys=public).info["signed_by"] == [public.key_id]
        (one,) = split(json_of(path).read_bytes())[1]
        assert one.statement()["expires"] == "2999-01-01T00:00:00Z"
        other.save_model(path)
        assert other.get_model_info()["signed_by"] == []
        assert split(json_of(path).read_bytes())[1] == ()


def _saved(analyzer: EVBatteryAnalyzer, path: Path) -> Path:
    EVBatteryAnalyzer.save_model(analyzer, path)
    return path


def test_saving_a_signed_model_again_does_not_keep_its_signature(saved: Path, key: SigningKey, tmp_path: Path) -> None:
    sign_model(saved, key)
    EVBatteryAnalyzer.load_model(saved, backend="onnx").save_model(tmp_path / "again")
    assert split(json_of(tmp_path / "again").read_bytes())[1] == ()
    with pytest.raises(SignatureError, match="is not signed"):
        load_model(tmp_path / "again", public_keys=key.public)


def test_a_bad_key_is_told_before_anything_is_written(analyzer: EVBatteryAnalyzer, tmp_path: Path) -> None:
    (tmp_path / "wrong.key").write_text("no key")
    with pytest.raises(ConfigurationError, match=r"wrong.key: this is not an Ed25519 private key"):
        analyzer.save_model(tmp_path / "model", sign_with=tmp_path / "wrong.key")
    with pytest.raises(ConfigurationError, match="signature_expires needs sign_with: without a key nothing is signed"):
        analyzer.save_model(tmp_path / "model", signature_expires="2999-01-01")
    key = Ed25519PrivateKey.generate()
    with pytest.raises(ConfigurationError, match="which has passed"):
        analyzer.save_model(tmp_path / "model", sign_with=key, signature_expires="2020-01-01")
    assert [file.name for file in tmp_path.iterdir()] == ["wrong.key"]


def test_the_training_side_demands_what_the_runtime_does(
    saved: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused_as(error: type[Exception], message: str, **demands: Any) -> None:
        for backend in ("auto", "sklearn", "onnx"):
            with pytest.raises(error, match=message):
                EVBatteryAnalyzer.load_model(saved, backend=backend, **demands)  # type: ignore[arg-type]  # one of the choices
        with pytest.raises(error, match=message):
            _ = ModelService(saved, **demands).model

    refused_as(SignatureError, "is not signed, and a signature is demanded", public_keys=[key.public])
    refused_as(SignatureError, "no public key is given", require_signature=True)
    refused_as(IncompatibleModelError, "at least 1.2.1 is demanded", minimum_version="1.2.1")
    monkeypatch.setenv("EV_QA_MINIMUM_VERSION", "1.3")
    refused_as(IncompatibleModelError, "at least 1.3.0 is demanded")
    sign_model(saved, key)
    monkeypatch.delenv("EV_QA_MINIMUM_VERSION")
    assert ModelService(saved, public_keys=key.public).model.get_model_info()["signed_by"] == [key.key_id]


def test_a_pickle_is_not_opened_before_the_signature_is_checked(
    saved: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joblib.load", lambda *_: pytest.fail("unpickled"))
    with pytest.raises(SignatureError, match="is not signed"):
        EVBatteryAnalyzer.load_model(saved, backend="sklearn", public_keys=[key.public])


def test_training_imports_no_cryptography_without_a_key(saved: Path) -> None:
    program = (
        "import sys\nfrom ev_qa_framework import EVBatteryAnalyzer\n"
        "EVBatteryAnalyzer.load_model(sys.argv[1]).save_model(sys.argv[1] + '_again')\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'cryptography'])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(saved)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


# --- commands ---------------------------------------------------------------------------------------------------------


def test_from_key_to_loaded_model_on_the_shell(
    run: Run, saved: Path, telemetry: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = json.loads(run("keygen", "-o", "keys/release", "--json").stdout)
    assert (made["private_key"], made["public_key"]) == ("keys/release.key", "keys/release.pub")
    monkeypatch.setenv("PASSPHRASE", "secret")
    second = json.loads(run("keygen", "-o", "keys/next", "--passphrase-env", "PASSPHRASE", "--json").stdout)

    first = json.loads(run("sign", saved, "--key", "keys/release.key", "--valid-days", 30, "--json").stdout)
    assert first["key_id"] == made["key_id"]
    lasts = datetime.fromisoformat(first["expires"]) - datetime.fromisoformat(first["signed"])
    assert timedelta(days=30) - timedelta(seconds=2) <= lasts <= timedelta(days=30, seconds=2)
    again = run("sign", saved, "--key", "keys/next.key", "--passphrase-env", "PASSPHRASE", "--expires", "2999-01-01")
    assert (again.returncode, again.stderr) == (0, "")
    assert "2999-01-01T00:00:00Z" in again.stdout

    shown = json.loads(run("signatures", saved, "--public-key", "keys/next.pub", "--json").stdout)
    assert [(one["key_id"], one["state"]) for one in shown["signatures"]] == [
        (made["key_id"], "unknown key"),
        (second["key_id"], "valid"),
    ]
    monkeypatch.setenv("EV_QA_PUBLIC_KEYS", "keys")
    table = run("signatures", saved).stdout
    assert table.count("valid") == 2
    assert f"{second['key_id']}: signed" in table
    info = json.loads(run("info", saved, "--json").stdout)
    assert info["signed_by"] == [made["key_id"], second["key_id"]]

    telemetry.to_csv(tmp_path / "all.csv", index=False)
    (tmp_path / "small.toml").write_text("[analyzer]\nn_estimators = 5\n")
    trained = run(
        "train", "all.csv", "-o", "fresh", "--config", "small.toml", "--sign-with", "keys/next.key",
        "--passphrase-env", "PASSPHRASE", "--expires", "2999-01-01", "--json",
    )  # fmt: skip
    assert (trained.returncode, trained.stderr) == (0, "")
    assert json.loads(trained.stdout)["signed_by"] == [second["key_id"]]
    assert load_model(tmp_path / "fresh").info["signed_by"] == [second["key_id"]]


def test_an_unsigned_model_has_no_signatures_to_show(run: Run, saved: Path) -> None:
    assert "none" in run("signatures", saved).stdout
    assert json.loads(run("signatures", saved, "--json").stdout)["signatures"] == []
    refused(run("signatures", "nowhere"), MODEL, "Model file not found: ")


def test_signatures_reads_a_reference_into_another_store(run: Run, saved: Path, key: SigningKey) -> None:
    sign_model(saved, key, expires="2999-01-31")
    root = f"memory://{uuid4()}/fleet"
    publish_model(Registry(root, who="test"), saved, reason="signed")
    shown = json.loads(run("signatures", f"{root}@{saved.name}", "--json").stdout)
    assert (shown["name"], shown["signatures"][0]["key_id"]) == (saved.name, key.key_id)
    assert "until" in run("signatures", f"{root}@{saved.name}").stdout
    sign_model(saved, key, replace_own=True)
    assert "ever" in run("signatures", saved).stdout


def test_what_the_commands_refuse(
    run: Run, saved: Path, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate_key(tmp_path / "locked", "secret")
    sign = ("sign", saved, "--key")
    monkeypatch.setenv("WRONG", "guess")
    monkeypatch.setenv("EMPTY", "")
    refused(run("keygen", "-o", key_file), FILES, "release.key exists already")
    refused(run("keygen", "-o", "new", "--passphrase-env", "EMPTY"), INPUT, "EMPTY holds no passphrase")
    refused(run("keygen", "-o", "new", "--passphrase-env", "UNSET_HERE"), INPUT, "UNSET_HERE holds no passphrase")
    assert not list(tmp_path.glob("new*"))
    refused(run(*sign, "none.key"), FILES, "none.key: No such file")
    refused(run(*sign, json_of(saved)), INPUT, "this is not an Ed25519 private key")
    refused(run(*sign, "locked.key"), INPUT, "locked.key: it needs its passphrase")
    refused(run(*sign, "locked.key", "--passphrase-env", "WRONG"), INPUT, "or its passphrase is another")
    refused(run(*sign, key_file, "--expires", "2020-01-01"), INPUT, "which has passed")
    refused(run(*sign, key_file, "--expires", "soon"), INPUT, "is no date or time")
    refused(run(*sign, key_file, "--expires", "2999-01-01", "--valid-days", 3), USAGE, "exclude each other")
    refused(run(*sign, key_file, "--valid-days", 0), USAGE, "0 is not in the range")
    refused(run("sign", "nowhere", "--key", key_file), MODEL, "Model file not found: ")
    assert run(*sign, key_file).returncode == 0
    refused(run(*sign, key_file), MODEL, "use --replace to sign it anew")
    assert run(*sign, key_file, "--replace").returncode == 0
    train = ("train", "x.csv", "-o", "m")
    refused(run(*train, "--expires", "2999-01-01"), USAGE, "--passphrase-env and --expires need --sign-with")
    refused(run(*train, "--sign-with", "none.key"), FILES, "none.key: No such file")


def typed(arguments: list[str], answers: list[str]) -> int:
    """Run ``ev-qa`` on a pseudo-terminal, so that what hides the typed text is at work too; its exit code."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are a thing of POSIX")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ev_qa_framework.cli", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        seen = b""
        for answer in answers:
            while not seen.rstrip().endswith(b":"):
                assert select.select([ours], [], [], 60)[0], seen
                seen += os.read(ours, 4096)
            os.write(ours, answer.encode() + b"\n")
            seen = b""
        with contextlib.suppress(OSError):  # Linux says EIO where others say end of file
            while os.read(ours, 4096):
                pass
    os.close(ours)
    return process.returncode


def test_a_passphrase_is_asked_for_on_a_terminal(saved: Path, tmp_path: Path) -> None:
    stem = str(tmp_path / "asked")
    assert typed(["keygen", "-o", stem, "--ask-passphrase"], ["geheim", "geheim"]) == 0
    assert is_encrypted(f"{stem}.key")
    assert typed(["sign", str(saved), "--key", f"{stem}.key"], ["wrong"]) == INPUT
    assert typed(["sign", str(saved), "--key", f"{stem}.key"], ["geheim"]) == 0
    assert load_model(saved, public_keys=f"{stem}.pub").info["signed_by"]
