"""Finding a model's files and giving out none of their bytes unverified, also while they are being replaced."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime import ArtifactError, IntegrityError, ModelContract, ModelNotFoundError, load_model, sidecar
from ev_qa_runtime.artifact import LIMITS, ArtifactPaths, read_artifact, read_contract
from ev_qa_runtime.contract import FileDigest

Rewrite = Callable[..., ModelContract]
DigestOf = Callable[[bytes], FileDigest]
SUFFIXES = (".json", ".onnx", ".joblib")


def moved(stem: Path, target: Path) -> Path:
    """The model at ``stem`` under another path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix in SUFFIXES:
        Path(f"{stem}{suffix}").rename(f"{target}{suffix}")
    return target


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", *SUFFIXES])
@pytest.mark.parametrize("kind", [str, Path, os.fsencode], ids=["str", "Path", "bytes"])
def test_a_model_is_found_with_and_without_suffix(reference: Path, suffix: str, kind: Callable[..., Any]) -> None:
    path = kind(f"{reference}{suffix}")
    if isinstance(path, bytes):
        with pytest.raises(TypeError, match="must be text or a Path, not bytes"):
            read_contract(path)  # type: ignore[arg-type]  # that is the point
    else:
        assert read_contract(path).name == reference.name
        assert load_model(path).contract.name == reference.name


@pytest.mark.parametrize(
    "name",
    ["baseline_v2.0", "v2.0", "a.b.c.d", "модель v1", "Pack № 7 (süd)", "x.onnx.d", ".hidden", "-dash", "no_version"],
)
def test_names_with_dots_spaces_and_any_script(copied: Path, tmp_path: Path, name: str) -> None:
    stem = moved(copied, tmp_path / "ein Ordner – ünïcode" / name)
    for suffix in ("", ".json", ".onnx"):
        assert read_artifact(f"{stem}{suffix}").paths.name == name
    assert len(load_model(stem).score_samples([[350.0, 1.0, 20.0]])) == 1


@pytest.mark.parametrize("written", ["{name}", "./{name}", "../models/{name}", "../models/../models/{name}.onnx"])
def test_relative_paths(copied: Path, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.chdir(copied.parent)
    assert read_artifact(written.format(name=copied.name)).contract.name == copied.name


@given(st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20))
def test_a_suffix_is_appended_never_substituted(name: str) -> None:
    if name in (".", "..") or name.endswith(SUFFIXES):
        return
    paths = ArtifactPaths.of(f"models/{name}")
    assert paths.sidecar.name == f"{name}.json"
    assert paths.file("onnx") == Path("models") / f"{name}.onnx"
    assert all(ArtifactPaths.of(f"models/{name}{suffix}") == paths for suffix in SUFFIXES)
    assert ArtifactPaths.of(paths.sidecar) == paths


@pytest.mark.parametrize("path", ["", ".", "..", "models/", "models/..", ".json", "models/.onnx", "a\0b"])
def test_a_path_that_names_no_file_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match="does not name a model: expected a path such as models/baseline_v2"):
        ArtifactPaths.of(path)


def test_the_path_asked_for_counts_not_the_name_in_the_sidecar(copied: Path, tmp_path: Path) -> None:
    artifact = read_artifact(moved(copied, tmp_path / "renamed_v3.1"))
    assert (artifact.paths.name, artifact.contract.name) == ("renamed_v3.1", "demo_pack_v1.0.0")


# --- missing files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nothing_v1.0", "no_folder/nothing"])
def test_a_missing_model_says_where_it_was_looked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match=rf"^Model file not found: .*{name} \(no nothing.*\.json in /"):
        load_model(tmp_path / name)


def test_a_missing_model_is_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Model file not found: "):
        load_model(tmp_path / "nothing")


def test_a_missing_sidecar_names_what_is_there(copied: Path) -> None:
    Path(f"{copied}.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"the sidecar is missing beside demo_pack_v1.0.0.joblib, demo_.*onnx\)"
    ):
        load_model(copied)


def test_a_missing_onnx_file_is_asked_for(copied: Path) -> None:
    Path(f"{copied}.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=r"demo_pack_v1.0.0.onnx \(its sidecar is there; copy the .onnx file"):
        load_model(copied)


def test_the_joblib_file_is_not_needed(copied: Path) -> None:
    Path(f"{copied}.joblib").unlink()
    assert load_model(copied).info["backend"] == "onnx"
    artifact = read_artifact(copied, optional=("joblib",))
    assert set(artifact.payloads) == {"onnx"}


def test_an_optional_file_that_is_there_is_read_and_verified(copied: Path) -> None:
    assert set(read_artifact(copied, optional=("joblib",)).payloads) == {"onnx", "joblib"}
    Path(f"{copied}.joblib").write_bytes(b"not it")
    with pytest.raises(IntegrityError, match=r"joblib: its bytes are not the ones"):
        read_artifact(copied, optional=("joblib",))


def test_a_file_that_the_sidecar_does_not_list_is_refused(copied: Path, rewrite_contract: Rewrite) -> None:
    rewrite_contract(copied, files={})
    with pytest.raises(ArtifactError, match=r"the sidecar lists no .onnx file"):
        load_model(copied)


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"\x00",
        lambda data: data[::-1],
        lambda data: b"\x00" * len(data),
    ],
    ids=["empty", "last byte lost", "half", "one byte more", "reversed", "zeros"],
)
def test_a_damaged_payload_is_refused(copied: Path, damage: Callable[[bytes], bytes]) -> None:
    onnx = Path(f"{copied}.onnx")
    onnx.write_bytes(damage(onnx.read_bytes()))
    with pytest.raises(IntegrityError, match=r"onnx: its bytes are not the ones demo_pack_v1.0.0.json vouches for"):
        load_model(copied)


def test_another_models_payload_is_refused(copied: Path) -> None:
    Path(f"{copied}.joblib").replace(f"{copied}.onnx")
    with pytest.raises(IntegrityError, match="corrupted, truncated or replaced"):
        load_model(copied)


def test_flipped_bits_anywhere_in_the_payload_are_refused(copied: Path) -> None:
    onnx = Path(f"{copied}.onnx")
    data = bytearray(onnx.read_bytes())
    for sample in range(50):
        position = sample * (len(data) - 1) // 49
        data[position] ^= 1 << sample % 8
        onnx.write_bytes(data)
        with pytest.raises(IntegrityError, match="its bytes are not the ones"):
            read_artifact(copied)
        data[position] ^= 1 << sample % 8
    onnx.write_bytes(data)
    assert read_artifact(copied).payloads["onnx"] == data


def test_a_damaged_sidecar_is_named(copied: Path) -> None:
    Path(f"{copied}.json").write_bytes(b"{")
    with pytest.raises(ArtifactError, match=r"demo_pack_v1.0.0.json: the sidecar is not valid JSON"):
        load_model(copied)


def test_a_sidecar_beyond_the_limit_is_not_read(copied: Path) -> None:
    with Path(f"{copied}.json").open("r+b") as file:
        file.truncate(LIMITS.sidecar + 1)
    with pytest.raises(IntegrityError, match=f"larger than {LIMITS.sidecar} bytes"):
        load_model(copied)


def test_a_payload_beyond_the_limit_is_not_read(copied: Path, rewrite_contract: Rewrite) -> None:
    rewrite_contract(copied, files={"onnx": FileDigest(LIMITS.payload + 1, "0" * 64)})
    with pytest.raises(ArtifactError, match=f"{LIMITS.payload + 1} bytes are more than the limit"):
        load_model(copied)


# --- while a model is being replaced ----------------------------------------------------------------------------------


def test_a_payload_set_aside_by_an_interrupted_replacement_is_found(copied: Path) -> None:
    before = read_artifact(copied)
    onnx = before.paths.file("onnx")
    onnx.rename(before.paths.aside("onnx", before.contract.files["onnx"].sha256))
    onnx.write_bytes(b"the new model's, whose sidecar was never written")
    assert read_artifact(copied) == before
    assert load_model(copied).contract == before.contract


def test_a_payload_set_aside_is_verified_too(copied: Path) -> None:
    paths, contract = ArtifactPaths.of(copied), read_contract(copied)
    paths.file("onnx").write_bytes(b"new")
    paths.aside("onnx", contract.files["onnx"].sha256).write_bytes(b"neither")
    with pytest.raises(IntegrityError, match="its bytes are not the ones"):
        load_model(copied)


def test_readers_get_a_whole_model_while_two_replace_each_other(
    tmp_path: Path, contract: ModelContract, digest_of: DigestOf
) -> None:
    paths = ArtifactPaths.of(tmp_path / "model_v1.0")
    payloads = [letter * 5000 for letter in (b"A", b"B")]
    sidecars = [
        sidecar.encode(dataclasses.replace(contract, files={"onnx": digest_of(data)}, metadata={"is": chr(data[0])}))
        for data in payloads
    ]
    paths.file("onnx").write_bytes(payloads[0])
    paths.sidecar.write_bytes(sidecars[0])
    done = threading.Event()
    seen: list[str] = []
    failures: list[BaseException] = []

    def replace_again_and_again() -> None:
        try:
            for turn in range(400):
                old, new = turn % 2, (turn + 1) % 2
                aside = paths.aside("onnx", digest_of(payloads[old]).sha256)
                aside.hardlink_to(paths.file("onnx"))
                for suffix, data in (("onnx", payloads[new]), ("json", sidecars[new])):
                    staged = tmp_path / f".new.{suffix}"
                    staged.write_bytes(data)
                    staged.replace(paths.file(suffix))
                aside.unlink()
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)
        finally:
            done.set()

    def read_all_the_while() -> None:
        try:
            while not done.is_set():
                artifact = read_artifact(paths.sidecar)
                assert artifact.payloads["onnx"] == 5000 * artifact.contract.metadata["is"].encode()
                seen.append(artifact.contract.metadata["is"])
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=read_all_the_while) for _ in range(3)]
    threads.append(threading.Thread(target=replace_again_and_again))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(seen) == {"A", "B"}
