"""``Registry``: publish, promote, roll back and archive models under one root.

Invariants:

* a change is decided from the events, its files are made, then its event is created; where another writer came
  first, it is decided anew;
* nothing that was published is overwritten, and a promotion removes nothing;
* an alias only ever points to a model whose files were read and matched their digests, and which the trust policy
  allows.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ev_qa_framework.registry import alias_state
from ev_qa_framework.registry.alias_state import CHAMPION
from ev_qa_framework.registry.catalog import Catalog, begun_in_folders, catalog_of, in_folders
from ev_qa_framework.registry.event import Action, Change, Event, user_and_host
from ev_qa_framework.registry.intact_copy import intact_copy
from ev_qa_framework.registry.journal import Journal
from ev_qa_framework.registry.model_files import ModelFiles, copy_model, read_model, read_sidecar, remove_model
from ev_qa_framework.registry.state import State, nothing_here
from ev_qa_framework.registry.store import Store, already_there, open_store
from ev_qa_framework.registry.version_rule import Level, check_version, level_of, stepped
from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.errors import AlreadyPublishedError, IntegrityError, ModelNotFoundError, RegistryError
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.registry_event import ALIASES, Aliases, AliasTarget, ModelName
from ev_qa_runtime.registry_reference import Place, Selector, resolve, vouched
from ev_qa_runtime.trust import TrustPolicy

DEFAULT_ROOT = "artifacts"


class Registry:
    """A registry of models under ``root``, a local folder or an URL that fsspec reaches.

    ``root`` defaults to the environment's ``EV_QA_REGISTRY``, else ``artifacts``; ``who`` to ``EV_QA_WHO``, else
    user@host; ``storage_options`` are fsspec's. ``policy`` says which models may be promoted and rolled back to; None
    stands for the environment's. With ``despite_clock`` changes go on after an event that is dated ahead of this clock;
    they get its time. Any number of threads and processes may change one registry.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        who: str | None = None,
        storage_options: dict[str, Any] | None = None,
        policy: TrustPolicy | None = None,
        despite_clock: bool = False,
    ) -> None:
        self.store: Store = open_store(root or os.environ.get("EV_QA_REGISTRY") or DEFAULT_ROOT, storage_options)
        self.journal = Journal(self.store)
        self.who = who or os.environ.get("EV_QA_WHO") or user_and_host()
        self.despite_clock = despite_clock
        self._policy = policy
        self._folded: tuple[int, Catalog] = (0, {})  # the events up to this one, and what they say

    @property
    def root(self) -> str:
        """The folder or URL."""
        return self.store.root

    def state(self) -> State:
        """The registry now; reads the events that are not known yet."""
        last = self.journal.last()
        known, catalog = self._folded
        if last is not None and last.number > known:
            catalog = catalog_of(self.journal.events(list(range(known + 1, last.number + 1))), catalog)
            self._folded = (last.number, catalog)
        return State(self.root, last, catalog, in_folders(self.store))

    def existing_state(self) -> State:
        """The registry now; ``ModelNotFoundError`` where there is none."""
        state = self.state()
        if state.is_empty:
            raise ModelNotFoundError(nothing_here(self.root))
        return state

    @property
    def policy(self) -> TrustPolicy:
        """Which models are trusted: what was given, else what the environment says now."""
        return TrustPolicy.of() if self._policy is None else self._policy

    def place(self, selector: str) -> Place:
        """Where the model lies that ``champion``, ``FAMILY/champion`` or ``FAMILY_v1.2.0`` means.

        Raises ``ModelNotFoundError``, or ``ArtifactError`` for anything that is none of these.
        """
        return resolve(self.store, Selector.parse(selector))

    def contract(self, selector: str) -> ModelContract:
        """The contract of that model, its sidecar's digest checked."""
        place = vouched(self.store, self.place(selector))
        return read_sidecar(self.store, place.location, place.model)[1]

    def publish(self, name: str, files: ModelFiles, *, to: str = "experiments", reason: str = "") -> Event:
        """Make ``files`` the model ``name`` of the registry. Publishing never replaces anything.

        Raises ``AlreadyPublishedError`` where that version was published before, ``FileExistsError`` where other files
        lie there, ``RegistryError`` where name, version and contract contradict each other or the version rule.
        """
        model = ModelName.parse(name)
        files.refuse_other_name(model)
        if to not in ("experiments", "production"):
            raise RegistryError(f"a model is published into experiments or production, not into {to!r}")
        refuse_no_version(name, model.version)
        files.self_test()

        def decide(state: State) -> Change:
            self._refuse_published(state, model)
            self._refuse_another(state, name, files)
            below = self._contract_of(state, state.highest(model.family, model.version))
            if below is not None:
                check_version(below, files.contract)
            copy_model(self.store, files, to, name)
            return self._change("publish", name, None, f"{to}/{name}", reason, files, state.aliases)

        with self.store.turn():
            return _made(self.record(decide))

    def next_version(self, family: str, contract: ModelContract) -> ModelVersion:
        """The version that a model with this contract gets after the highest published one; 1.0.0 for the first."""
        state = self.state()
        highest = self._contract_of(state, state.highest(family))
        level = Level.PATCH if highest is None else level_of(highest, contract)
        version = ModelVersion(1) if highest is None else stepped(highest.version, level)
        names = {*map(ModelName.parse, begun_in_folders(self.store)), *state.names}
        taken = {name.version for name in names if name.family == family}
        while version in taken:  # pruned, and not given again; or another writer is just uploading it
            version = stepped(version, level)
        return version

    def promote(self, name: str, *, alias: str = CHAMPION, reason: str = "") -> Event | None:
        """Set ``alias`` of the model's family to the model; None where it is set to it already.

        A champion is copied into ``production/`` where it is not there yet, and files there that are missing or
        damaged are put back where another folder holds them, also of one that is champion already. A model without
        any event is adopted. Raises ``ModelNotFoundError``, ``ArtifactError`` where its files cannot be trusted or
        used here, and ``RegistryError``.
        """
        if alias not in ALIASES:
            raise RegistryError(f"an alias is one of {' and '.join(ALIASES)}, not {alias!r}")

        def decide(state: State) -> Change | None:
            model = state.model(name)
            before = alias_state.target_of(state.aliases, model.family, alias)
            standing = before if before is not None and before.model == model.text else None
            self._refuse_champion(state, model.text, alias)
            home = "production" if alias == CHAMPION else "experiments"
            location, files = self._read_home(state, model.text, standing.location if standing else home)
            files.refuse_other_name(model)
            files.self_test()
            self._bring(state, files, location, model.text)
            if standing:
                return None
            target = _target(model.text, location, files, state.next_number)
            aliases = alias_state.promoted(state.aliases, alias, target)
            return self._change("promote", model.text, _path(before), _path(target), reason, files, aliases, alias)

        with self._turn_for(name):
            return self.record(decide)

    def clear(self, family: str | None = None, *, alias: str = alias_state.CHALLENGER, reason: str = "") -> Event:
        """Take the challenger away; the champion can only be replaced.

        Raises ``ModelNotFoundError`` where there is none, ``RegistryError`` for the champion.
        """
        if alias == CHAMPION:
            raise RegistryError("the champion cannot be taken away, only replaced: promote another model or roll back")

        def decide(state: State) -> Change:
            before = state.target(Selector(alias=alias, family=family))
            aliases = alias_state.cleared(state.aliases, ModelName.parse(before.model).family, alias)
            return self._change("clear", before.model, _path(before), None, reason, None, aliases, alias)

        with self._turn_for(None):
            return _made(self.record(decide))

    def rollback(self, family: str | None = None, *, alias: str = CHAMPION, reason: str = "") -> Event:
        """Set ``alias`` back to the model before; again, to the one before that.

        ``family`` may be left out where only one has that alias. Raises ``ModelNotFoundError`` where the alias is not
        set or its model's files are gone from every folder, ``IntegrityError`` where none has them as they were,
        ``SignatureError`` or ``IncompatibleModelError`` where the policy refuses it, ``RegistryError`` where there
        was no model before.
        """

        def decide(state: State) -> Change:
            now = state.target(Selector(alias=alias, family=family))
            whose = ModelName.parse(now.model).family
            if now.parent is None:
                raise RegistryError(f"{whose} has had no {alias} before {now.model}: there is nothing to go back to")
            before = alias_state.target_of(self.journal.event(now.parent).change.aliases, whose, alias)
            if before is None:
                raise RegistryError(f"event {now.parent} set no {alias} of {whose}: the history is damaged")
            self._refuse_champion(state, before.model, alias)
            location, files = self._read_home(state, before.model, before.location)
            target = _target(before.model, location, files, state.next_number, before.parent)
            if target.sidecar_sha256 != before.sidecar_sha256:
                raise IntegrityError(
                    f"{self.root}/{_path(target)}: not the files that were {alias} before: restore them"
                )
            self._bring(state, files, location, before.model)
            aliases = alias_state.rolled_back(state.aliases, alias, target)
            return self._change("rollback", before.model, _path(now), _path(target), reason, files, aliases, alias)

        with self._turn_for(None):
            return _made(self.record(decide))

    def archive(self, name: str, *, reason: str = "") -> Event | None:
        """Move a model to ``archive/``; None where it is there already.

        Raises ``RegistryError`` while an alias points to it, ``ModelNotFoundError``, ``ArtifactError``.
        """

        def decide(state: State) -> Change | None:
            model = state.model(name)
            pointing = alias_state.pointing_at(state.aliases, model.text)
            if pointing:
                raise RegistryError(f"{model.text} is {' and '.join(pointing)}: promote another model first")
            location = state.locations(model.text)[0]
            if location == "archive":
                return None
            files = read_model(self.store, location, model.text)
            self._refuse_another(state, model.text, files)
            copy_model(self.store, files, "archive", model.text)
            return self._change(
                "archive", model.text, f"{location}/{model.text}", f"archive/{model.text}", reason, files, state.aliases
            )

        with self._turn_for(name):
            event = self.record(decide)
            state = self.state()
            model = state.model(name).text
            if state.locations(model) == ("archive",):  # without event too: to finish what was interrupted
                for location in ("production", "experiments"):
                    remove_model(self.store, location, model)
            return event

    def record(self, decide: Callable[[State], Change | None]) -> Event | None:
        """Decide on a change and record it, again and again until no other writer came first.

        ``decide`` makes the files that the change needs; None is no change.
        """
        while True:
            state = self.state()
            if not self.despite_clock:
                self.journal.refuse_future(state.last)
            change = decide(state)
            if change is None:
                self.journal.confirm(state.last)
                return None
            try:
                return self.journal.append(change, state.last)
            except FileExistsError:  # somebody was quicker: what was decided may no longer hold
                continue

    def _change(
        self,
        action: Action,
        model: str,
        source: str | None,
        target: str | None,
        reason: str,
        files: ModelFiles | None,
        aliases: Aliases,
        alias: str | None = None,
    ) -> Change:
        digests = {} if files is None else files.digests
        return Change(self.who, action, model, source, target, reason, digests, aliases, alias)

    def _turn_for(self, name: str | None) -> Any:
        """The writer's turn; a registry that does not exist is not made for a change that needs one."""
        if self.journal.last() is None and (name is None or not in_folders(self.store)):
            raise ModelNotFoundError(nothing_here(self.root))
        return self.store.turn()

    def _read_home(self, state: State, name: str, home: str) -> tuple[str, ModelFiles]:
        """The folder that an alias is to point to, and the model's verified files, which may not lie there yet."""
        locations = state.locations(name)
        if not locations:
            raise ModelNotFoundError(f"{self.root}: {name} was pruned: promote another model")
        if home not in locations:
            if home == "experiments" and "production" in locations:
                home = "production"
            elif locations[0] == "archive" and not self.store.takes_turns:
                home = "archive"  # whoever archived it may still be removing it from the other folders
        first = home if home in locations else locations[0]
        entry = state.catalog.get(name)
        if entry is None:
            files = read_model(self.store, first, name)
        else:
            files = intact_copy(self.store, entry, dict.fromkeys((first, *locations, *state.folders.get(name, ()))))
        files.refuse_untrusted(self.policy, f"{self.root}/{first}/{name}.json")
        return home, files

    def _refuse_champion(self, state: State, name: str, alias: str) -> None:
        champion = alias_state.target_of(state.aliases, ModelName.parse(name).family, CHAMPION)
        if alias != CHAMPION and champion is not None and champion.model == name:
            raise RegistryError(f"{name} is the champion: a challenger is another model")

    def _bring(self, state: State, files: ModelFiles, location: str, name: str) -> None:
        """Copy a model to where an alias is to find it; where its events say that it is there, see that it is so."""
        if location in state.locations(name):
            self.store.restore_model(location, name, files.payloads, files.sidecar)
        else:
            copy_model(self.store, files, location, name)

    def _refuse_another(self, state: State, name: str, files: ModelFiles) -> None:
        """Raise ``FileExistsError`` where one of the folders holds another model under that name."""
        for location in state.folders.get(name, ()):
            if read_sidecar(self.store, location, name)[0] != files.sidecar:
                raise FileExistsError(already_there(f"{self.root}/{location}/{name}.json"))

    def _refuse_published(self, state: State, model: ModelName) -> None:
        """Raise ``AlreadyPublishedError`` where this version has an event, or lies under its other spelling."""
        for name in state.names:
            if (name.family, name.version) == (model.family, model.version) and (
                name.text != model.text or name.text in state.catalog
            ):
                raise AlreadyPublishedError(f"{self.root}: {name.text} was published before: take another version")

    def _contract_of(self, state: State, name: ModelName | None) -> ModelContract | None:
        return None if name is None else read_sidecar(self.store, state.locations(name.text)[0], name.text)[1]


def refuse_no_version(name: str, version: ModelVersion) -> None:
    """Raise ``RegistryError`` for 0.0.0."""
    if version == ModelVersion():
        raise RegistryError(f"{name}: 0.0.0 stands for a model without version: begin with 0.1.0 or 1.0.0")


def _made(event: Event | None) -> Event:
    assert event is not None  # noqa: S101 - these changes are never decided against without an error
    return event


def _target(name: str, location: str, files: ModelFiles, event: int, parent: int | None = None) -> AliasTarget:
    return AliasTarget(name, location, files.digests["json"].sha256, event, parent)


def _path(target: AliasTarget | None) -> str | None:
    return None if target is None else f"{target.location}/{target.model}"
