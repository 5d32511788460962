"""What the aliases point to, and how an action changes it: pure functions, used to write events and to check them.

Invariants: a family's champion and challenger are never the same model; an entry's ``parent`` is the event whose
entry a rollback returns to, so that repeated rollbacks go further back (A, B, C → B → A).
"""

from __future__ import annotations

from ev_qa_runtime.registry_event import Aliases, AliasTarget, ModelName

CHAMPION, CHALLENGER = "champion", "challenger"


def target_of(aliases: Aliases, family: str, alias: str) -> AliasTarget | None:
    """The entry of an alias, None where it is not set."""
    return aliases.get(family, {}).get(alias)


def promoted(aliases: Aliases, alias: str, target: AliasTarget) -> Aliases:
    """The state after ``alias`` was set; a challenger that becomes champion is a challenger no longer."""
    family = ModelName.parse(target.model).family
    before = target_of(aliases, family, alias)
    entry = AliasTarget(
        model=target.model,
        location=target.location,
        sidecar_sha256=target.sidecar_sha256,
        event=target.event,
        parent=None if before is None else before.event,
    )
    return _with(aliases, family, alias, entry)


def rolled_back(aliases: Aliases, alias: str, target: AliasTarget) -> Aliases:
    """The state after ``alias`` went back to ``target``, whose ``parent`` is that of the entry gone back to."""
    return _with(aliases, ModelName.parse(target.model).family, alias, target)


def cleared(aliases: Aliases, family: str, alias: str) -> Aliases:
    """The state after ``alias`` was taken away."""
    targets = {name: entry for name, entry in aliases.get(family, {}).items() if name != alias}
    others = {name: entries for name, entries in aliases.items() if name != family}
    return others | ({family: targets} if targets else {})


def pointing_at(aliases: Aliases, model: str) -> list[str]:
    """The aliases that point to ``model``, in the form FAMILY/ALIAS."""
    return [
        f"{family}/{alias}"
        for family, targets in sorted(aliases.items())
        for alias, entry in sorted(targets.items())
        if entry.model == model
    ]


def _with(aliases: Aliases, family: str, alias: str, entry: AliasTarget) -> Aliases:
    targets = dict(aliases.get(family, {}))
    challenger = targets.get(CHALLENGER)
    if alias == CHAMPION and challenger is not None and challenger.model == entry.model:
        del targets[CHALLENGER]
    return aliases | {family: targets | {alias: entry}}
