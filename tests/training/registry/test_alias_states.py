"""Any sequence of changes leaves the aliases as a simple model has them: one stack an alias."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.verification import verify
from ev_qa_runtime.errors import ModelNotFoundError, RegistryError
from ev_qa_runtime.registry_reference import LocalFiles, Selector, resolve

FAMILIES = ("pack", "cell")
ALIASES = ("champion", "challenger")
_numbers = itertools.count()
families, aliases = st.sampled_from(FAMILIES), st.sampled_from(ALIASES)


class Changes(RuleBasedStateMachine):
    """``stacks[family, alias]`` are the models that the alias pointed to, as far as rollbacks go back."""

    named: ClassVar[Any]
    kind: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.root = (
            f"{self.folder}/models" if self.kind == "local" else f"memory://{os.getpid()}-state-{next(_numbers)}"
        )
        self.registry = Registry(self.root, who="machine")
        self.stacks: dict[tuple[str, str], list[str]] = {
            (family, alias): [] for family in FAMILIES for alias in ALIASES
        }
        self.published: dict[str, list[str]] = {family: [] for family in FAMILIES}
        self.events = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def top(self, family: str, alias: str) -> str | None:
        stack = self.stacks[family, alias]
        return stack[-1] if stack else None

    def set_champion(self, family: str) -> None:
        if self.top(family, "challenger") == self.top(family, "champion"):
            self.stacks[family, "challenger"] = []

    @initialize()
    def first(self) -> None:
        for family in FAMILIES:
            self.publish(family)

    @rule(family=families)
    def publish(self, family: str) -> None:
        if len(self.published[family]) < 6:
            name = f"{family}_v1.0.{len(self.published[family])}"
            self.registry.publish(name, self.named(name))
            self.published[family].append(name)
            self.events += 1

    @rule(family=families, alias=aliases, which=st.integers(0, 5))
    def promote(self, family: str, alias: str, which: int) -> None:
        name = self.published[family][which % len(self.published[family])]
        if alias == "challenger" and name == self.top(family, "champion"):
            with pytest.raises(RegistryError, match="is the champion"):
                self.registry.promote(name, alias=alias)
            return
        event = self.registry.promote(name, alias=alias)
        assert (event is None) == (self.top(family, alias) == name)
        if event is not None:
            self.stacks[family, alias].append(name)
            self.events += 1
            self.set_champion(family)

    @rule(family=families, alias=aliases)
    def rollback(self, family: str, alias: str) -> None:
        stack = self.stacks[family, alias]
        if not stack:
            with pytest.raises(
                ModelNotFoundError, match=f"there is no {alias} of {family}|no model was ever published"
            ):
                self.registry.rollback(family, alias=alias)
        elif len(stack) == 1:
            with pytest.raises(RegistryError, match="there is nothing to go back to"):
                self.registry.rollback(family, alias=alias)
        elif alias == "challenger" and stack[-2] == self.top(family, "champion"):
            with pytest.raises(RegistryError, match="is the champion"):
                self.registry.rollback(family, alias=alias)
        else:
            self.registry.rollback(family, alias=alias)
            stack.pop()
            self.events += 1
            self.set_champion(family)

    @rule(family=families)
    def clear(self, family: str) -> None:
        if self.top(family, "challenger") is None:
            with pytest.raises(ModelNotFoundError, match="there is no challenger"):
                self.registry.clear(family)
        else:
            self.registry.clear(family)
            self.stacks[family, "challenger"] = []
            self.events += 1

    @rule(family=families, which=st.integers(0, 5))
    def archive(self, family: str, which: int) -> None:
        name = self.published[family][which % len(self.published[family])]
        if name in (self.top(family, "champion"), self.top(family, "challenger")):
            with pytest.raises(RegistryError, match="promote another model first"):
                self.registry.archive(name)
        else:
            self.events += self.registry.archive(name) is not None

    @invariant()
    @precondition(lambda self: self.events > 0)
    def the_aliases_are_those_of_the_stacks(self) -> None:
        seen = Registry(self.root).store
        for (family, alias), stack in self.stacks.items():
            for files in [seen, LocalFiles(self.root)] if self.kind == "local" else [seen]:
                try:
                    found = resolve(files, Selector.parse(f"{family}/{alias}")).model
                except ModelNotFoundError:
                    found = None
                assert found == (stack[-1] if stack else None), (family, alias)

    @invariant()
    @precondition(lambda self: self.events > 0)
    def everything_verifies(self) -> None:
        found = verify(Registry(self.root).store)
        assert (found.faults, found.events) == ((), self.events)


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_aliases_follow_from_any_sequence_of_changes(kind: str, named: Any, tiny: ModelFiles) -> None:
    machine = type("These", (Changes,), {"named": staticmethod(named), "kind": kind})
    hypothesis.stateful.run_state_machine_as_test(  # type: ignore[attr-defined]  # imported with the rules
        machine,
        settings=hypothesis.settings(max_examples=15, stateful_step_count=20, deadline=None, database=None),
    )
