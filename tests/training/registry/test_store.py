"""What every store promises: exclusive creation, whole files, no way out of the root."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.object_store import ObjectStore
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.store import LocalStore, Store, open_store
from ev_qa_framework.registry.verification import verify
from ev_qa_runtime.errors import ArtifactError, ConfigurationError, RegistryError
from ev_qa_runtime.registry_reference import latest_event

Fill = Callable[..., list[str]]


@pytest.fixture
def store(root: str) -> Store:
    return open_store(root)


def test_a_file_is_created_once(store: Store) -> None:
    with store.turn():
        store.create("registry/events/a", b"one")
        store.create("registry/events/a", b"one")  # a request that was sent twice
        for other in (b"two", b"o", b"one and more"):
            with pytest.raises(FileExistsError):
                store.create("registry/events/a", other)
    assert store.read("registry/events/a", 10) == b"one"
    assert store.names("registry/events") == ["a"]


def test_reading_knows_absence_emptiness_and_a_limit(store: Store) -> None:
    with store.turn():
        store.create("registry/empty", b"")
        store.create("registry/four", b"four")
    assert store.read("registry/none", 10) is None
    assert store.read("registry/empty", 10) == b""
    assert store.read_many(["registry/four", "registry/none"], 4) == [b"four", None]
    with pytest.raises(ArtifactError, match="larger than 3 bytes, which is more than it may be"):
        store.read("registry/four", 3)
    assert store.names("nowhere") == []
    assert store.age("registry/none") is None
    assert -5 < (store.age("registry/four") or 0) < 60


def test_replacing_and_removing(store: Store) -> None:
    with store.turn():
        store.replace("registry/hint", b"1")
        store.replace("registry/hint", b"22")
    assert store.read("registry/hint", 10) == b"22"
    store.remove("registry/hint")
    store.remove("registry/hint")
    assert "hint" not in store.names("registry")


def test_of_writers_at_once_one_creates_each_file(store: Store) -> None:
    """Without turns, so that exclusive creation alone decides."""
    won: Counter[int] = Counter()
    with store.turn():
        store.create("registry/events/warm", b"")

    def create(who: int) -> None:
        mine = open_store(store.root)
        for number in range(12):
            try:
                mine.create(f"registry/events/{number}", f"{who}".encode())
            except FileExistsError:
                continue
            won[number] += 1

    run_together(create, 4)
    assert dict(won) == dict.fromkeys(range(12), 1)
    assert not [name for name in store.names("registry/events") if name.startswith(".")]


def test_threads_change_one_registry_and_nothing_is_lost(
    root: str, fill: Fill, named: Callable[..., ModelFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not root.startswith("s3"):  # that exclusive creation alone is enough, where turns are not kept
        monkeypatch.setattr(LocalStore, "turn", ObjectStore.turn)
    if "://" not in root:
        (Path(root) / "registry" / "events").mkdir(parents=True)
    fill(Registry(root, who="first"), 3)
    given: list[tuple[int, str]] = []

    def change(who: int) -> None:
        registry = Registry(root, who=f"thread {who}")
        for number in range(5):
            event = registry.promote(f"pack_v1.0.{(who + number) % 3}")
            if event is not None:
                given.append((event.number, event.nonce))

    run_together(change, 4)

    history = Registry(root).journal.history()
    assert [event.number for event in history] == list(range(1, len(history) + 1))
    assert sorted(given) == [(event.number, event.nonce) for event in history[3:]]
    assert verify(open_store(root)).faults == ()


def run_together(work: Callable[[int], None], count: int) -> None:
    errors: list[BaseException] = []

    def guarded(who: int) -> None:
        try:
            work(who)
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(who,)) for who in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("hint", [b"", b"{", b'{"event": 0}', b'{"event": 99}', b'{"event": "2"}', b"x" * 5000, None])
def test_a_torn_or_missing_hint_is_harmless(registry: Registry, fill: Fill, hint: bytes | None) -> None:
    fill(registry, 2)
    registry.promote("pack_v1.0.1")
    if hint is None:
        registry.store.remove("registry/latest.json")
    else:
        registry.store.replace("registry/latest.json", hint)
    last = latest_event(registry.store)
    assert last is not None
    assert last[0] == 3
    assert Registry(registry.root).place("champion").model == "pack_v1.0.1"


def test_an_old_hint_only_costs_a_few_looks(registry: Registry, fill: Fill, named: Callable[..., ModelFiles]) -> None:
    fill(registry, 3)
    registry.store.replace("registry/latest.json", b'{"event": 1}')
    assert registry.publish("cell_v1.0.0", named("cell_v1.0.0")).number == 4


class TestLocal:
    def test_no_temporary_file_is_left_where_the_disk_refuses(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = LocalStore(str(tmp_path))
        calls = 0

        def refuse(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with store.turn():
            monkeypatch.setattr(os, "fsync", refuse)
            with pytest.raises(OSError, match="No space left"):
                store.create("registry/events/00000001.json", b"{}")
        assert calls
        assert store.names("registry/events") == []

    def test_without_hard_links_events_are_created_all_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
        store = LocalStore(str(tmp_path))
        with store.turn():
            store.create("registry/events/1", b"one")
            with pytest.raises(FileExistsError):
                store.create("registry/events/1", b"two")
        assert store.names("registry/events") == ["1"]
        assert store.read("registry/events/1", 9) == b"one"

    @pytest.mark.parametrize("place", ["production", "registry", "registry/events"])
    def test_a_folder_that_is_a_link_to_outside_is_refused(
        self, local: Registry, fill: Fill, tmp_path: Path, place: str
    ) -> None:
        fill(local, 1)
        outside = tmp_path / "outside"
        folder = tmp_path / "models" / place
        if folder.exists():
            folder.rename(outside)
        else:
            outside.mkdir()
        folder.symlink_to(outside)
        with pytest.raises(ArtifactError, match="a link leads out of the registry"):
            local.promote("pack_v1.0.0")
        with pytest.raises(ArtifactError, match="a link leads out of the registry"):
            Registry(local.root).promote("pack_v1.0.0")
        assert not list(outside.glob("pack*"))

    def test_a_root_that_is_a_link_is_fine(self, local: Registry, fill: Fill, tmp_path: Path) -> None:
        fill(local, 1)
        (tmp_path / "link").symlink_to(tmp_path / "models")
        assert Registry(tmp_path / "link").promote("pack_v1.0.0") is not None

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(["..", ".", "production", "x", "a/b"]), max_size=6))
    def test_no_path_leads_out_of_the_root(self, parts: list[str]) -> None:
        store = LocalStore("/nonexistent-root/models")
        try:
            found = store.path("/".join(parts))
        except ArtifactError:
            return
        assert os.path.normpath(found).startswith("/nonexistent-root/models")

    def test_a_file_url_is_a_folder(self, tmp_path: Path) -> None:
        store = open_store(f"file://{tmp_path}/models")
        assert isinstance(store, LocalStore)
        assert store.root == f"{tmp_path}/models"


class TestObjectStores:
    def test_a_store_that_creates_twice_cannot_hold_a_registry(
        self, named: Callable[..., ModelFiles], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As an S3-compatible server does that does not know conditional requests."""
        real = MemoryFileSystem.pipe_file

        def ignoring_the_condition(self: Any, path: str, value: bytes, mode: str = "overwrite") -> None:
            real(self, path, value)

        monkeypatch.setattr(MemoryFileSystem, "pipe_file", ignoring_the_condition)
        registry = Registry(f"memory://lenient-{os.getpid()}")
        with pytest.raises(RegistryError, match="creates files that exist already"):
            registry.publish("pack_v1.0.0", named("pack_v1.0.0"))
        assert registry.journal.last() is None

    def test_an_unknown_kind_of_store_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="this kind of store is not installed here"):
            open_store("nosuch://bucket/models")

    def test_an_empty_root_is_refused(self) -> None:
        with pytest.raises(RegistryError, match="the registry's root is empty"):
            open_store("")

    def test_a_server_that_does_not_answer_is_an_error_of_the_system(
        self, s3: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fsspec.filesystem("s3").clear_instance_cache()
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(OSError, match=r"Connect|Endpoint") as caught:
            Registry(s3).state()
        assert caught.value.filename == s3
        fsspec.filesystem("s3").clear_instance_cache()

    def test_a_bucket_that_is_not_there_is_an_empty_registry_and_no_place_to_publish(
        self, s3: str, named: Callable[..., ModelFiles]
    ) -> None:
        registry = Registry(s3.replace("models", "nowhere"))
        assert registry.state().names == []
        with pytest.raises(OSError, match="bucket"):
            registry.publish("pack_v1.0.0", named("pack_v1.0.0"))
