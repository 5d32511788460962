"""Pruning removes what the policy lets go, by events, and what interrupted changes left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.retention import RetentionPolicy, prune
from ev_qa_framework.registry.verification import verify
from ev_qa_runtime.errors import ModelNotFoundError, RegistryError

Fill = Callable[..., list[str]]


def archived(registry: Registry, fill: Fill, count: int) -> list[str]:
    """``count`` models in the archive, and one that is champion."""
    *names, last = fill(registry, count + 1)
    registry.promote(last)
    for name in names:
        registry.archive(name)
    return names


def test_all_but_the_highest_versions_go(registry: Registry, fill: Fill) -> None:
    names = archived(registry, fill, 4)
    policy = RetentionPolicy(keep=2)
    assert prune(registry, policy, dry_run=True).models == tuple(names[:2])
    assert len(registry.store.names("archive")) == 12

    pruned = prune(registry, policy)

    assert (pruned.models, pruned.leftovers) == (tuple(names[:2]), ())
    assert registry.store.names("archive") == [
        f"{name}.{suffix}" for name in names[2:] for suffix in ("joblib", "json", "onnx")
    ]
    last = registry.journal.history()[-1].change
    assert (last.action, last.source, last.target, last.reason) == (
        "prune", f"archive/{names[1]}", None, "policy: keep 2",
    )  # fmt: skip
    assert last.files
    assert prune(registry, policy).models == ()
    assert verify(registry.store).faults == ()


def test_age_counts_from_the_archiving(registry: Registry, fill: Fill) -> None:
    archived(registry, fill, 2)
    assert prune(registry, RetentionPolicy(older_than=timedelta(days=1)), dry_run=True).models == ()
    assert len(prune(registry, RetentionPolicy(older_than=timedelta(0)), dry_run=True).models) == 2
    assert prune(registry, RetentionPolicy(keep=2, older_than=timedelta(0))).models == ()


def test_what_is_needed_stays(local: Registry, fill: Fill) -> None:
    first, second, third = fill(local, 3)
    for name in (first, second, third):
        local.promote(name)
    for name in (first, second):
        local.archive(name)
    assert prune(local, RetentionPolicy(keep=0)).models == (first,)  # a rollback returns to the second
    assert local.rollback().change.model == second
    with pytest.raises(ModelNotFoundError, match=r"pack_v1\.0\.0 was pruned: promote another model"):
        local.rollback()
    with pytest.raises(ModelNotFoundError, match=r"pack_v1\.0\.0 was pruned: promote another model"):
        local.promote(first)


def test_a_pruned_version_is_not_given_again(local: Registry, fill: Fill, named: Callable[..., ModelFiles]) -> None:
    first, second = fill(local, 2)
    local.archive(second)
    prune(local, RetentionPolicy(keep=0))
    assert str(local.next_version("pack", named(first).contract)) == "1.0.2"
    with pytest.raises(FileExistsError, match="was published before"):
        local.publish(second, named(second))
    assert local.publish("pack_v1.0.2", named("pack_v1.0.2")).number == 5


def test_leftovers_go_when_they_are_a_day_old(local: Registry, fill: Fill, tmp_path: Path) -> None:
    names = archived(local, fill, 1)
    models = tmp_path / "models"
    copies = []
    for suffix in ("json", "onnx", "joblib"):
        copies.append(models / "production" / f"{names[0]}.{suffix}")
        copies[-1].write_bytes((models / "archive" / copies[-1].name).read_bytes())
    left = [*copies, models / "experiments" / "cell_v1.0.0.onnx", models / "experiments" / ".cell_v1.0.0.json.new"]
    left.append(models / "registry" / "events" / ".00000002.json.0123456789abcdef.new")
    for file in left[3:]:
        file.write_bytes(b"half")
    mine = models / "experiments" / "notes.txt"
    mine.write_text("not the registry's")
    policy = RetentionPolicy(keep=9)

    assert prune(local, policy).leftovers == ()
    for file in [*left, mine]:
        os.utime(file, times=(time.time() - 90_000,) * 2)
    pruned = prune(local, policy)

    assert {models / found.path for found in pruned.leftovers} == set(left)
    assert not [file for file in left if file.exists()]
    assert mine.exists()
    assert verify(local.store).remarks == ()


def test_a_policy_says_something() -> None:
    with pytest.raises(RegistryError, match="say what to keep"):
        RetentionPolicy()
