"""Saving and loading: names, metadata, overwriting, what the files hold, and which back end is taken."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import jsonschema
import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import ev_qa_runtime
from ev_qa_framework import AnomalyDetector, EVBatteryAnalyzer
from ev_qa_runtime import sidecar
from ev_qa_runtime.artifact import read_contract
from ev_qa_runtime.contract import ModelContract

SCHEMA = Path(__file__).parents[2] / "artifacts" / "schema" / "model-v1.schema.json"
FilesIn = Callable[[Path], dict[str, bytes]]

many_saves = settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def tiny(telemetry: pd.DataFrame) -> EVBatteryAnalyzer:
    """A model of two trees, quick to save."""
    return EVBatteryAnalyzer(n_estimators=2, max_samples=16).fit(telemetry)


def rewrite_sidecar(path: Path, change: Callable[[ModelContract], ModelContract]) -> None:
    """Write the sidecar of a model again, changed and valid."""
    file = path.with_name(path.name + ".json")
    file.write_bytes(sidecar.encode(change(sidecar.decode(file.read_bytes()))))


def trained_with(version: str) -> Callable[[ModelContract], ModelContract]:
    return lambda contract: replace(contract, environment=contract.environment | {"scikit-learn": version})


# Names


@pytest.mark.parametrize(
    ("given_name", "stem"),
    [
        ("baseline_v2.0", "baseline_v2.0"),
        ("baseline_v2.0.joblib", "baseline_v2.0"),
        ("baseline_v2.0.onnx", "baseline_v2.0"),
        ("baseline_v2.0.json", "baseline_v2.0"),
        ("model.pkl", "model.pkl"),
        ("model.joblib.joblib", "model.joblib"),
        ("model.JOBLIB", "model.JOBLIB"),
        (".hidden", ".hidden"),
        ("two words", "two words"),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_suffixes_are_appended_and_never_substituted(
    kind: type, given_name: str, stem: str, tiny: EVBatteryAnalyzer, tmp_path: Path
) -> None:
    tiny.save_model(kind(tmp_path / given_name))

    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{stem}.{s}" for s in ("joblib", "json", "onnx")]
    for name in (given_name, stem, f"{stem}.joblib", f"{stem}.onnx", f"{stem}.json"):
        if name != "model.joblib":  # which names the model "model"
            assert EVBatteryAnalyzer.load_model(kind(tmp_path / name)).get_model_info()["name"] == stem


DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE | re.ASCII | re.DOTALL)


@many_saves
@given(
    name=st.text(st.characters(exclude_characters="/\\:"), min_size=1, max_size=40).filter(
        lambda name: (
            name.isprintable()
            and name.strip(".")
            and not name.endswith((".joblib", ".onnx", ".json"))
            and not DEVICE.fullmatch(name)
        )
    )
)
@example(name="Größe 二次電池 🔋 v1.0")
@example(name=" leading and trailing ")
@example(name="-o")
@example(name="...x")
def test_any_name_saves_and_loads(
    name: str, tiny: EVBatteryAnalyzer, telemetry: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("names")
    tiny.save_model(folder / name)

    assert {file.name for file in folder.iterdir()} == {f"{name}.{suffix}" for suffix in ("joblib", "onnx", "json")}
    for loaded in (EVBatteryAnalyzer.load_model(folder / name), ev_qa_runtime.load_model(folder / f"{name}.joblib")):
        np.testing.assert_array_equal(loaded.score_samples(telemetry), tiny.score_samples(telemetry))


@pytest.mark.parametrize("name", ["a\nb", "a:b", "a\\b"])
def test_a_name_that_other_systems_cannot_take_is_refused(name: str, tiny: EVBatteryAnalyzer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a separator of paths or a character that cannot be printed"):
        tiny.save_model(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "folder/", ".joblib", "a\0b"])
def test_a_path_without_a_name_is_refused(name: str, tiny: EVBatteryAnalyzer) -> None:
    with pytest.raises(ValueError, match="does not name a model"):
        tiny.save_model(name)
    with pytest.raises(ValueError, match="does not name a model"):
        EVBatteryAnalyzer.load_model(name)


@pytest.mark.parametrize("path", [3, None, b"model"])
def test_a_path_of_another_kind_is_a_type_error(path: Any, tiny: EVBatteryAnalyzer) -> None:
    with pytest.raises(TypeError, match=r"path|PathLike"):
        tiny.save_model(path)


def test_a_name_too_long_for_the_disk_is_an_os_error_with_the_path(tiny: EVBatteryAnalyzer, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="xxxx") as caught:
        tiny.save_model(tmp_path / ("x" * 254))

    assert caught.value.filename is not None
    assert list(tmp_path.iterdir()) == []


def test_models_with_similar_names_leave_each_other_alone(
    tiny: EVBatteryAnalyzer, tmp_path: Path, files_in: FilesIn
) -> None:
    names = ["m", "m.onnx.b", ".m.onnx.b", ".m.json.c"]
    for name in names:
        tiny.save_model(tmp_path / name)
    before = files_in(tmp_path)

    tiny.save_model(tmp_path / "m", metadata={"again": True})

    after = files_in(tmp_path)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert "m.json" in changed <= {"m.joblib", "m.json", "m.onnx"}


# Metadata

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@many_saves
@given(metadata=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=5))
@example(metadata={"": None, "sidecar_sha256": "0" * 64, "schema_version": 9, "deep": [[[{"a": [1, -0.0, 5e-324]}]]]})
@example(metadata={"version": 2.0, "text": '"\n}\n', "zero": None, "empty": [{}, [], ""]})
def test_any_json_metadata_comes_back_untouched(
    metadata: dict[str, Any], tiny: EVBatteryAnalyzer, tmp_path: Path
) -> None:
    tiny.save_model(tmp_path / "model", metadata=metadata)

    found = EVBatteryAnalyzer.load_model(tmp_path / "model").get_model_info()["metadata"]
    assert json.dumps(found) == json.dumps(metadata)  # tells 1 from 1.0 and True, and keeps the order
    assert joblib.load(tmp_path / "model.joblib")["metadata"] == metadata
    assert read_contract(tmp_path / "model").metadata == metadata


looping: dict[str, Any] = {}
looping["again"] = {"me": looping}
nested: list[Any] = []
for _ in range(5_000):
    nested = [nested]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"a": {"b": [1, {2, 3}]}}, r"metadata\['a'\]\['b'\]\[1\] is a set"),
        ({"when": pd.Timestamp("2024-01-28")}, r"metadata\['when'\] is a Timestamp"),
        ({"path": Path("x")}, r"metadata\['path'\] is a .*Path"),
        ({"rows": np.int64(3)}, r"metadata\['rows'\] is a int64"),
        ({"array": np.ones(2)}, r"metadata\['array'\] is a ndarray"),
        ({"bytes": b"x"}, r"metadata\['bytes'\] is a bytes"),
        ({"auc": float("nan")}, r"metadata\['auc'\] is nan"),
        ({"auc": [0.5, float("-inf")]}, r"metadata\['auc'\]\[1\] is -inf"),
        ({"folds": {1: 0.5}}, r"metadata\['folds'\] has the key 1; JSON keys are text"),
        ({"text": "\ud800"}, r"metadata\['text'\] holds text that UTF-8 cannot encode"),
        ({"a": {"\ud800": 1}}, r"metadata\['a'\] has a key: it holds text that UTF-8 cannot encode"),
        (looping, r"metadata\['again'\]\['me'\] contains itself"),
        ({"deep": nested}, r"metadata\['deep'\].* is nested more than \d+ deep"),
        ({"huge": 10**5000}, r"metadata\['huge'\] is an integer of more than \d+ digits"),
        ([("a", 1)], "metadata must be a dictionary, not list"),
        ("text", "metadata must be a dictionary, not str"),
    ],
    ids=lambda value: None if isinstance(value, str) else "metadata",
)
def test_metadata_that_json_cannot_hold_is_refused_by_name(
    metadata: Any, message: str, tiny: EVBatteryAnalyzer, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny.save_model(tmp_path / "model", metadata=metadata)

    assert list(tmp_path.iterdir()) == []


def test_the_saved_metadata_is_a_copy(tiny: EVBatteryAnalyzer, tmp_path: Path) -> None:
    metadata: dict[str, Any] = {"list": [1], "tuple": (1, 2)}
    tiny.save_model(tmp_path / "model", metadata=metadata)

    metadata["list"].append(2)

    assert tiny.get_model_info()["metadata"] == {"list": [1], "tuple": [1, 2]}


@pytest.mark.parametrize(
    ("name", "metadata", "version"),
    [
        ("pack", None, "0.0.0"),
        ("pack_v2.0", None, "2.0.0"),
        ("pack-v1.2.3", {}, "1.2.3"),
        ("pack_v2.0", {"version": "3.1.4"}, "3.1.4"),
        ("pack", {"version": " v0.9 "}, "0.9.0"),
        ("pack_v2.0", {"version": "spring"}, "2.0.0"),
        ("pack_v2.0", {"version": 3}, "2.0.0"),
        ("pack_v2.0_final", None, "0.0.0"),
    ],
)
def test_the_version_is_the_metadatas_or_the_names(
    name: str, metadata: dict[str, Any] | None, version: str, tiny: EVBatteryAnalyzer, tmp_path: Path
) -> None:
    tiny.save_model(tmp_path / name, metadata=metadata)

    info = EVBatteryAnalyzer.load_model(tmp_path / name).get_model_info()
    assert (info["version"], info["metadata"]) == (version, metadata or {})


# Overwriting


@pytest.mark.parametrize("suffix", ["joblib", "onnx", "json"])
def test_overwrite_false_refuses_any_existing_file_and_changes_nothing(
    suffix: str, tiny: EVBatteryAnalyzer, tmp_path: Path, files_in: FilesIn
) -> None:
    (tmp_path / f"model.{suffix}").write_bytes(b"mine")

    with pytest.raises(
        FileExistsError, match=rf"model\.{suffix} exists already: choose another name or allow overwriting"
    ):
        tiny.save_model(tmp_path / "model", overwrite=False)

    assert files_in(tmp_path) == {f"model.{suffix}": b"mine"}
    tiny.save_model(tmp_path / "other", overwrite=False)
    assert EVBatteryAnalyzer.load_model(tmp_path / "other").get_model_info()["is_fitted"]


def test_saving_over_a_model_replaces_it_whole(
    saved: Path, tiny: EVBatteryAnalyzer, telemetry: pd.DataFrame, files_in: FilesIn
) -> None:
    before = files_in(saved.parent)

    tiny.save_model(saved)

    after = files_in(saved.parent)
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in after)
    for loaded in (EVBatteryAnalyzer.load_model(saved), ev_qa_runtime.load_model(saved)):
        np.testing.assert_array_equal(loaded.score_samples(telemetry), tiny.score_samples(telemetry), strict=True)


def test_saving_over_a_foreign_joblib_replaces_it(
    tiny: EVBatteryAnalyzer, telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    joblib.dump({"something": "else"}, tmp_path / "model.joblib")

    tiny.save_model(tmp_path / "model.joblib")

    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.joblib", "model.json", "model.onnx"]
    loaded = EVBatteryAnalyzer.load_model(tmp_path / "model.joblib", backend="sklearn")
    np.testing.assert_array_equal(loaded.score_samples(telemetry), tiny.score_samples(telemetry), strict=True)


# What the files hold


def test_the_joblib_holds_the_guides_dictionary_and_the_pipeline(saved: Path, readings: np.ndarray) -> None:
    content = joblib.load(saved.with_name("pack_v1.2.joblib"))

    assert content.keys() == {
        "model",
        "scaler",
        "contamination",
        "critical_threshold",
        "warning_threshold",
        "save_timestamp",
        "metadata",
        "pipeline",
        "versions",
    }
    assert isinstance(content["model"], IsolationForest)
    assert isinstance(content["scaler"], StandardScaler)
    assert isinstance(content["pipeline"], Pipeline)
    assert [step for _, step in content["pipeline"].steps] == [content["scaler"], content["model"]]
    assert (content["contamination"], content["critical_threshold"], content["warning_threshold"]) == (0.05, -0.8, -0.5)
    assert content["metadata"] == {"dataset": "demo"}
    assert content["versions"]["scikit-learn"] == sklearn.__version__
    assert pd.Timestamp(content["save_timestamp"]).year >= 2024
    frame = pd.DataFrame(readings, columns=["voltage", "current", "temp"])
    by_hand = content["model"].score_samples(content["scaler"].transform(frame))
    np.testing.assert_array_equal(by_hand, EVBatteryAnalyzer.load_model(saved).score_samples(readings), strict=True)


def test_more_compression_gives_smaller_files_and_the_same_model(
    analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    sizes = []
    for compress in (0, 3, 9):
        analyzer.save_model(tmp_path / f"c{compress}", compress=compress)
        sizes.append((tmp_path / f"c{compress}.joblib").stat().st_size)
        loaded = EVBatteryAnalyzer.load_model(tmp_path / f"c{compress}", backend="sklearn")
        np.testing.assert_array_equal(loaded.score_samples(telemetry), analyzer.score_samples(telemetry), strict=True)

    assert sizes[0] > 2 * sizes[1]
    assert sizes[1] > sizes[2]


def test_the_sidecar_follows_its_published_schema(saved: Path, tiny: EVBatteryAnalyzer, tmp_path: Path) -> None:
    if not SCHEMA.exists():
        pytest.skip(f"there is no {SCHEMA.name} in artifacts/schema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    tiny.save_model(tmp_path / "tiny", metadata={"any": ["thing", None]})

    jsonschema.Draft202012Validator.check_schema(schema)
    for name in (saved, tmp_path / "tiny"):
        document = json.loads(name.with_name(name.name + ".json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(document)
        document["files"]["onnx"]["sha256"] = "short"
        with pytest.raises(jsonschema.ValidationError, match="short"):
            jsonschema.Draft202012Validator(schema).validate(document)


def test_the_parameters_saved_are_those_the_model_was_fitted_with(telemetry: pd.DataFrame, tmp_path: Path) -> None:
    analyzer = EVBatteryAnalyzer(contamination=0.05, n_estimators=5).fit(telemetry)

    analyzer.set_params(contamination=0.3, n_estimators=7)
    analyzer.save_model(tmp_path / "model")

    assert read_contract(tmp_path / "model").parameters == {
        "contamination": 0.05,
        "n_estimators": 5,
        "max_samples": "auto",
        "random_state": 42,
    }
    assert joblib.load(tmp_path / "model.joblib")["contamination"] == 0.05


# Loading


@pytest.mark.parametrize("backend", ["sklearn", "onnx"])
def test_a_loaded_model_saved_again_loads_and_scores_the_same(
    backend: str, saved: Path, faulty: pd.DataFrame, tmp_path: Path
) -> None:
    loaded = EVBatteryAnalyzer.load_model(saved, backend=backend)
    scores, labels = loaded.score_samples(faulty), loaded.predict(faulty)
    cuts = np.quantile(scores, [0.2, 0.6])
    loaded.set_params(critical_threshold=float(cuts[0]), warning_threshold=float(cuts[1]))
    result = loaded.analyze_telemetry(faulty)
    assert result["severity"] == "CRITICAL"

    loaded.save_model(tmp_path / "again_v2.0", metadata={"round": 2})

    for again in (
        EVBatteryAnalyzer.load_model(tmp_path / "again_v2.0", backend="sklearn"),
        EVBatteryAnalyzer.load_model(tmp_path / "again_v2.0", backend="onnx"),
        ev_qa_runtime.load_model(tmp_path / "again_v2.0"),
    ):
        np.testing.assert_array_equal(again.score_samples(faulty), scores, strict=True)
        np.testing.assert_array_equal(again.predict(faulty), labels, strict=True)
        assert again.analyze_telemetry(faulty) == result
    info = EVBatteryAnalyzer.load_model(tmp_path / "again_v2.0").get_model_info()
    assert (info["name"], info["version"], info["metadata"]) == ("again_v2.0", "2.0.0", {"round": 2})
    assert info["critical_threshold"] == float(cuts[0])
    assert info["rows_trained_on"] == 720


def test_a_subclass_loads_as_itself(saved: Path) -> None:
    class Fleet(AnomalyDetector):
        pass

    assert type(Fleet.load_model(saved)) is Fleet


def test_auto_takes_scikit_learn_where_its_version_trained_the_model(
    saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ev_qa_framework"):
        loaded = EVBatteryAnalyzer.load_model(saved)

    assert loaded.get_model_info()["backend"] == "sklearn"
    assert f"scored with scikit-learn {sklearn.__version__}, which trained it" in caplog.text


def test_auto_takes_onnx_where_another_scikit_learn_trained_the_model_and_says_so(
    saved: Path, telemetry: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    expected = EVBatteryAnalyzer.load_model(saved).analyze_telemetry(telemetry)
    rewrite_sidecar(saved, trained_with("1.2.0"))

    with caplog.at_level(logging.INFO, logger="ev_qa_framework"):
        loaded = EVBatteryAnalyzer.load_model(saved)

    assert loaded.get_model_info()["backend"] == "onnx"
    assert "scored with its ONNX model" in caplog.text
    assert f"trained with scikit-learn 1.2.0, installed is {sklearn.__version__}" in caplog.text
    assert loaded.analyze_telemetry(telemetry) == expected


def test_auto_takes_onnx_where_there_is_no_joblib_and_says_so(
    saved: Path, telemetry: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = EVBatteryAnalyzer.load_model(saved).analyze_telemetry(telemetry)
    saved.with_name("pack_v1.2.joblib").unlink()

    with caplog.at_level(logging.INFO, logger="ev_qa_framework"):
        loaded = EVBatteryAnalyzer.load_model(saved)

    assert loaded.get_model_info()["backend"] == "onnx"
    assert "there is no .joblib" in caplog.text
    assert loaded.analyze_telemetry(telemetry) == expected
    loaded.save_model(tmp_path / "again" / "model")
    assert sorted(file.name for file in (tmp_path / "again").iterdir()) == ["model.json", "model.onnx"]
    assert EVBatteryAnalyzer.load_model(tmp_path / "again" / "model").analyze_telemetry(telemetry) == expected
    with pytest.raises(FileNotFoundError, match=r"Model file not found: .*pack_v1\.2\.joblib"):
        EVBatteryAnalyzer.load_model(saved, backend="sklearn")


def test_saving_a_model_without_pipeline_over_one_with_removes_the_old_joblib(
    saved: Path, tiny: EVBatteryAnalyzer, tmp_path: Path
) -> None:
    saved.with_name("pack_v1.2.joblib").unlink()
    tiny.save_model(tmp_path / "target")

    EVBatteryAnalyzer.load_model(saved).save_model(tmp_path / "target")

    assert not (tmp_path / "target.joblib").exists()
    assert EVBatteryAnalyzer.load_model(tmp_path / "target").get_model_info()["backend"] == "onnx"


def test_auto_takes_onnx_where_scikit_learn_scores_the_golden_rows_differently(
    saved: Path, telemetry: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    expected = EVBatteryAnalyzer.load_model(saved).score_samples(telemetry)
    file = saved.with_name("pack_v1.2.joblib")
    content = joblib.load(file)
    content["scaler"].mean_ += 1.0
    joblib.dump(content, file)
    rewrite_sidecar(saved, lambda contract: replace(contract, files=contract.files | {"joblib": digest(file)}))

    with caplog.at_level(logging.INFO, logger="ev_qa_framework"):
        loaded = EVBatteryAnalyzer.load_model(saved)

    assert loaded.get_model_info()["backend"] == "onnx"
    assert "scores the golden rows differently" in caplog.text
    np.testing.assert_array_equal(loaded.score_samples(telemetry), expected, strict=True)
    with pytest.raises(ValueError, match="scores the golden rows differently"):
        EVBatteryAnalyzer.load_model(saved, backend="sklearn")


def digest(file: Path) -> Any:
    from ev_qa_framework.persistence import digest_of  # noqa: PLC0415 - of this helper alone

    return digest_of(file.read_bytes())


def test_an_unknown_back_end_is_refused(saved: Path) -> None:
    with pytest.raises(ValueError, match="backend must be 'auto', 'sklearn' or 'onnx', not 'torch'"):
        EVBatteryAnalyzer.load_model(saved, backend="torch")


def test_unknown_sidecar_fields_survive_loading_and_saving(saved: Path, tmp_path: Path) -> None:
    later = {"signed_by": "later", "training": {"car": "A", "weather": None}, "golden": {"notes": [1, {"x": 2.5}]}}
    rewrite_sidecar(saved, lambda contract: replace(contract, unknown=later))
    assert read_contract(saved).unknown == later

    for backend in ("sklearn", "onnx"):
        EVBatteryAnalyzer.load_model(saved, backend=backend).save_model(tmp_path / backend)
        document = json.loads((tmp_path / f"{backend}.json").read_text())
        assert document["signed_by"] == "later"
        assert document["training"].items() >= {"car": "A", "weather": None}.items()
        assert document["golden"]["notes"] == [1, {"x": 2.5}]
        assert read_contract(tmp_path / backend).unknown == later


def test_a_newer_schema_is_refused_by_name(saved: Path) -> None:
    file = saved.with_name("pack_v1.2.json")
    file.write_bytes(file.read_bytes().replace(b'"schema_version": 1', b'"schema_version": 3'))

    with pytest.raises(ValueError, match="schema_version 3, this runtime reads up to 2"):
        EVBatteryAnalyzer.load_model(saved)


def test_an_edited_sidecar_is_refused(saved: Path) -> None:
    file = saved.with_name("pack_v1.2.json")
    file.write_bytes(file.read_bytes().replace(b'"contamination": 0.05', b'"contamination": 0.06'))

    with pytest.raises(ValueError, match="edited or damaged"):
        EVBatteryAnalyzer.load_model(saved)


def test_a_sidecar_that_links_to_itself_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"never opened")
    (tmp_path / "model.json").symlink_to("model.json")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        EVBatteryAnalyzer.load_model(tmp_path / "model")
