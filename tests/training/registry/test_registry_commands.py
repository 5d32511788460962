"""``ev-qa registry`` as a shell sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.cli import main
from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.registry import Registry
from ev_qa_runtime import load_model

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = (
    *("publish", "promote", "clear", "rollback", "archive", "prune", "list", "show", "diff", "history", "verify"),
    *("fetch", "changelog"),
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``ev-qa registry …`` in the test's own folder, whose registry is ``artifacts``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EV_QA_WHO", "tester")

    def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = main(["registry", *map(str, arguments)])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run_command


@pytest.fixture
def models(tmp_path: Path, named: Callable[..., ModelFiles]) -> list[Path]:
    """pack_v1.0.0 and pack_v1.0.1, not published yet."""
    paths = [tmp_path / "trained" / f"pack_v1.0.{number}" for number in range(2)]
    paths[0].parent.mkdir()
    for path in paths:
        files = named(path.name)
        for suffix, data in {"json": files.sidecar, **files.payloads}.items():
            path.with_name(f"{path.name}.{suffix}").write_bytes(data)
    return paths


def refused(result: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    assert result.returncode == code, result
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert message in result.stderr
    assert result.stdout == ""


def said(result: subprocess.CompletedProcess[str]) -> object:
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_from_publishing_to_pruning(run: Run, models: list[Path], tmp_path: Path) -> None:
    for path in models:
        published = said(run("publish", path, "--reason", "nightly", "--json"))
        assert (published["action"], published["to"], published["who"], published["reason"]) == (  # type: ignore[index]  # a dictionary
            "publish", f"experiments/{path.name}", "tester", "nightly",
        )  # fmt: skip
    assert "promote champion pack_v1.0.0" in run("promote", "pack_v1.0.0").stdout
    assert "is the champion already" in run("promote", "pack_v1.0.0").stdout
    said(run("promote", "pack_v1.0.1", "--as", "challenger", "--json"))
    said(run("clear", "--json"))
    assert "(before: pack_v1.0.0)" in run("promote", "pack_v1.0.1", "--who", "night shift").stdout
    assert "rollback champion pack_v1.0.0 (before: pack_v1.0.1)" in run("rollback", "pack").stdout
    refused(run("rollback"), 3, "there is nothing to go back to")
    refused(run("archive", "champion"), 3, "promote another model first")
    assert "archive pack_v1.0.1" in run("archive", "pack_v1.0.1").stdout
    listed = said(run("list", "--json"))
    assert [(item["model"], item["stages"], item["aliases"]) for item in listed] == [  # type: ignore[attr-defined]  # a list
        ("pack_v1.0.0", ["production", "experiments"], ["champion"]),
        ("pack_v1.0.1", ["archive"], []),
    ]
    for dry in (["--dry-run"], []):  # what was rolled back from is not needed any more
        pruned = said(run("prune", "--keep", "0", "--json", *dry))
        assert pruned == {"models": ["pack_v1.0.1"], "leftovers": [], "dry_run": bool(dry)}
    assert said(run("verify", "--json"))["verified"] is True  # type: ignore[index]  # a dictionary
    assert [event["action"] for event in said(run("history", "--json"))] == [  # type: ignore[attr-defined]  # a list
        "publish", "publish", "promote", "promote", "clear", "promote", "rollback", "archive", "prune",
    ]  # fmt: skip
    assert "wrote artifacts/CHANGELOG.md" in run("changelog").stdout
    assert run("changelog", "--print").stdout == (tmp_path / "artifacts" / "CHANGELOG.md").read_text()


def test_tables_are_for_reading(run: Run, models: list[Path]) -> None:
    for path in models:
        run("publish", path)
    run("promote", "pack_v1.0.0", "--reason", "the first one")
    for command, expected in [
        (("list",), ["pack_v1.0.0", "production, experiments", "champion"]),
        (("history",), ["publish pack_v1.0.1 into experiments", "promote champion pack_v1.0.0", "the first one"]),
        (("history", "--at", "2999-01-01"), ["champion", "pack_v1.0.0", "now"]),
        (("history", "--at", "1999-01-01"), ["Nothing served at 1999-01-01."]),
        (("show", "champion"), ["IsolationForest", "promote champion pack_v1.0.0"]),
        (("diff", "pack_v1.0.0", "pack_v1.0.1"), ["rows trained on", "voltage", "PATCH", "1.0.1"]),
        (("verify",), ["True"]),
        (("prune", "--older-than", "30"), ["models"]),
    ]:
        result = run(*command)
        assert (result.returncode, result.stderr) == (0, ""), command
        assert [text for text in expected if text not in result.stdout] == [], result.stdout


def test_the_version_that_follows_and_the_refusal(run: Run, models: list[Path]) -> None:
    assert said(run("publish", models[0], "--name", "fleet", "--next", "--json"))["model"] == "fleet_v1.0.0"  # type: ignore[index]  # a dictionary
    assert said(run("publish", models[0], "--name", "fleet", "--next", "--json"))["model"] == "fleet_v1.0.1"  # type: ignore[index]  # a dictionary
    refused(run("publish", models[0], "--name", "fleet", "--version", "2.0.0"), 3, "the rule asks for PATCH")
    refused(run("publish", models[0], "--name", "fleet", "--version", "1.0.1"), 3, "was published before")
    refused(run("publish", "nowhere"), 3, "Model file not found: nowhere")


def test_every_fault_is_named_and_the_exit_code_is_3(run: Run, models: list[Path], tmp_path: Path) -> None:
    for path in models:
        run("publish", path)
        (tmp_path / "artifacts" / "experiments" / f"{path.name}.onnx").write_bytes(b"damaged")
    result = run("verify", "--json")
    assert result.returncode == 3
    assert [fault.partition(": ")[0].rpartition("/")[2] for fault in json.loads(result.stdout)["faults"]] == [
        "pack_v1.0.0.onnx",
        "pack_v1.0.1.onnx",
    ]


def test_fetching_for_a_gateway(run: Run, models: list[Path], tmp_path: Path) -> None:
    run("publish", models[0])
    run("promote", "pack_v1.0.0")
    fetched = said(run("fetch", "champion", "-o", "gateway", "--runtime-only", "--json"))
    assert fetched == {"model": "pack_v1.0.0", "path": "gateway/pack_v1.0.0"}
    assert sorted(file.name for file in (tmp_path / "gateway").iterdir()) == ["pack_v1.0.0.json", "pack_v1.0.0.onnx"]


def test_the_root_may_be_any_store(run: Run, models: list[Path], s3: str) -> None:
    run("publish", models[0], "--root", s3, "--to", "production")
    run("promote", "pack_v1.0.0", "--root", s3)
    assert said(run("verify", "--root", s3, "--json"))["events"] == 2  # type: ignore[index]  # a dictionary
    assert Registry(s3).place("champion").model == "pack_v1.0.0"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("promote", "pack_v1.0.0"), 3, "no model was ever published here: check the registry's root"),
        (("promote", "pack"), 3, "no model was ever published here"),
        *(
            (command, 3, "no model was ever published here: check the registry's root")
            for command in (
                ("show", "champion"),
                ("list",),
                ("verify",),
                ("history",),
                ("history", "--at", "2026-11-23"),
                ("changelog",),
                ("changelog", "--print"),
                ("prune", "--keep", "1"),
                ("fetch", "champion"),
                ("diff", "champion", "challenger"),
            )
        ),
        (("diff", "champion", "nowhere/model"), 3, "no model was ever published here"),
        (("fetch", "champion", "-o", "s3://bucket/x"), 4, "files are written to local folders"),
        (("list", "--root", "nosuch://x"), 4, "this kind of store is not installed here"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], code: int, message: str, run: Run, tmp_path: Path) -> None:
    refused(run(*arguments), code, message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("show", "pack"),
            3,
            "'pack' is neither an alias (champion, challenger, FAMILY/champion) nor a registry's name",
        ),
        (("fetch", "champoin"), 3, "expected one such as pack_v1.2.0; did you mean champion?"),
        (("show", "pakc/champion"), 3, "there is no champion of pakc: promote a model first; did you mean pack?"),
        (("promote", "pack_v1.0.9"), 3, "list` shows those there are; did you mean pack_v1.0.0?"),
        (("promote", "challenger"), 3, "there is no challenger: promote a model first (`promote --as challenger`)"),
        (("diff", "champion", "champoin"), 3, "did you mean champion?"),
        (("history", "--at", "yesterday"), 4, "'yesterday' is no time such as 2026-11-23T12:00:00Z or 2026-11-23"),
        (("publish", "trained/pack_v1.0.0", "--version", "0.0.0"), 3, "pack_v0.0.0: 0.0.0 stands for a model without"),
        (("publish", "trained/pack_v1.0.0", "--version", "2"), 3, "the version that was given will not do"),
        (("publish", "trained/pack_v1.0.0"), 3, "was published before"),
    ],
)
def test_a_slip_is_one_line(arguments: tuple[str, ...], code: int, message: str, run: Run, models: list[Path]) -> None:
    run("publish", models[0])
    run("promote", "pack_v1.0.0")
    refused(run(*arguments), code, message)


def test_a_slip_in_a_reference_gets_a_suggestion(run: Run, models: list[Path], s3: str) -> None:
    for root in ("artifacts", s3):
        run("publish", models[0], "--root", root)
        for selector, message in [
            ("chapmion", "is a registry, and 'chapmion' is neither an alias .*; did you mean champion"),
            ("pack_v1.0.7", "no pack_v1.0.7.json in its folders.*; did you mean pack_v1.0.0"),
        ]:
            with pytest.raises(FileNotFoundError, match=message):
                EVBatteryAnalyzer.load_model(f"{root}@{selector}")
    with pytest.raises(FileNotFoundError, match="artifacts is a registry, and"):
        load_model("artifacts@chapmion")


def test_models_and_changes_are_filtered(run: Run, models: list[Path]) -> None:
    run("publish", models[0])
    run("publish", models[1], "--name", "city", "--next", "--to", "production")
    run("promote", "city_v1.0.0")

    def listed(*options: str) -> list[str]:
        return [item["model"] for item in said(run("list", "--json", *options))]  # type: ignore[attr-defined]  # a list

    def changed(*options: str) -> list[int]:
        return [item.get("number") or item["event"] for item in said(run("history", "--json", *options))]  # type: ignore[attr-defined]  # a list

    assert (listed("--family", "pack"), listed("--stage", "production")) == (["pack_v1.0.0"], ["city_v1.0.0"])
    assert (changed("--family", "city"), changed("pack_v1.0.0"), changed("champion")) == ([2, 3], [1], [2, 3])
    assert changed("--at", "2999-01-01", "--family", "pack") == []
    assert changed("--at", "2999-01-01", "city_v1.0") == [3]


def test_a_pruned_model_is_shown_by_its_events(run: Run, models: list[Path]) -> None:
    run("publish", models[0])
    run("archive", "pack_v1.0.0")
    run("prune", "--keep", "0")
    shown = said(run("show", "pack_v1.0.0", "--json"))
    assert isinstance(shown, dict)
    assert (shown["stages"], shown["pruned"][:3]) == ([], "202")
    assert [event["action"] for event in shown["events"]] == ["publish", "archive", "prune"]
    assert "prune pack_v1.0.0" in run("show", "pack_v1.0.0").stdout


def test_a_model_is_compared_before_it_is_published(run: Run, models: list[Path]) -> None:
    run("publish", models[0])
    run("promote", "pack_v1.0.0")
    for new in ("trained/pack_v1.0.1", "artifacts@pack_v1.0.0"):
        found = said(run("diff", "champion", new, "--json"))
        assert (found["old"], found["new"]) == ("pack_v1.0.0", new[-11:])  # type: ignore[index]  # a dictionary
    refused(run("diff", "champion", "trained/nothing"), 3, "Model file not found: trained/nothing")


def test_only_changes_ask_who(run: Run) -> None:
    asking = {name for name in COMMANDS if "--who" in run(name, "--help").stdout}
    assert asking == {"publish", "promote", "clear", "rollback", "archive", "prune"}


def test_a_bucket_that_is_not_there_is_named(run: Run, models: list[Path], s3: str) -> None:
    refused(run("publish", models[0], "--root", "s3://no-such-bucket/x"), 5, "s3://no-such-bucket/x: ")


def test_verify_remarks_on_names_that_are_not_seen(run: Run, models: list[Path]) -> None:
    run("publish", models[0])
    Path("artifacts/experiments/exp_conservative.json").write_text("{}")
    found = said(run("verify", "--json"))
    assert found["remarks"] == [  # type: ignore[index]  # a dictionary
        "experiments/exp_conservative.json: its name is not FAMILY_vX.Y.Z, so it is not seen"
    ]


def test_the_champion_is_named_by_its_model(run: Run, models: list[Path]) -> None:
    run("publish", models[0])
    run("promote", "pack_v1.0.0")
    assert "pack_v1.0.0 is the champion already" in run("promote", "champion", "--json").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Usage: ev-qa registry"),
        (("prune",), "give --keep, --older-than, or both"),
        (("publish", "m", "--next", "--version", "1.0.0"), "either --version or --next"),
        (("promote", "m", "--as", "winner"), "'winner' is not one of"),
        (("prune", "--keep", "-1"), "-1 is not in the range"),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: tuple[str, ...], message: str, run: Run) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_itself(command: str, run: Run) -> None:
    result = run(command, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "--root" in result.stdout
    assert "Exit codes:" in result.stdout


def test_help_needs_no_slow_import(tmp_path: Path) -> None:
    code = (
        "import sys; from ev_qa_framework.cli import main; main(['registry', '--help']);"
        " print([m for m in ('sklearn', 'fsspec', 'joblib', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"
