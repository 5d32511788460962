"""What is saved over what in the campaigns of kills and disk errors, and what must be true of the folder afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.campaigns.small_models import ModelFiles, train

from ev_qa_runtime import load_model, sidecar
from ev_qa_runtime.artifact import ArtifactPaths, read_artifact, read_contract
from ev_qa_runtime.errors import ModelNotFoundError

NAME = "model"
Contents = Mapping[str, bytes]
"""File name → bytes of everything in a folder."""


class Fault(Exception):  # noqa: N818 - a finding of the campaign, not an error of it
    """What the campaign looks for: a torn model, a lost one, a file left lying."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A save of ``new`` by ``save`` into a folder that holds ``before``."""

    name: str
    before: Contents
    new: ModelFiles
    save: Callable[[ArtifactPaths], object]
    below: str = ""
    """Folders that the save makes itself."""
    hard_links: bool = True
    marker: bytes = b""
    """What only the new sidecar holds, where its bytes are not known beforehand: it has the date in it."""

    def prepare(self, folder: Path) -> ArtifactPaths:
        """Fill a new ``folder``; where the model is to be saved."""
        folder.mkdir()
        for name, data in self.before.items():
            (folder / name).write_bytes(data)
        return ArtifactPaths.of(folder / self.below / NAME)

    def is_new(self, found: bytes | None) -> bool:
        """Whether a sidecar's bytes are those of the model that is being saved."""
        if found is None or not self.marker:
            return found == self.new.sidecar
        return self.marker in found


@dataclass(slots=True)
class Tally:
    """The figures of a row of a campaign's table."""

    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """One more of ``name``."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def __getitem__(self, name: str) -> int:
        return self.counts.get(name, 0)


def contents(folder: Path) -> dict[str, bytes]:
    """What lies in a folder; nothing where there is none."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())} if folder.exists() else {}


def visible(there: Contents) -> dict[str, bytes]:
    """Without the protocol's hidden files."""
    return {name: data for name, data in there.items() if not name.startswith(".")}


def model_at(paths: ArtifactPaths) -> bytes | None:
    """The sidecar of the model that loads from ``paths``, every file of it verified; None where there is none.

    Raises ``Fault`` where what is there cannot be loaded.
    """
    try:
        load_model(str(paths))
        listed = read_contract(str(paths)).files
        read_artifact(str(paths), wanted=tuple(listed))
    except ModelNotFoundError as error:
        if paths.sidecar.exists():
            raise Fault(f"torn: {error}") from None
        return None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the fault looked for
        raise Fault(f"torn: {type(error).__name__}: {error}") from None
    return paths.sidecar.read_bytes()


def which(scenario: Scenario, paths: ArtifactPaths, old: bytes | None) -> str:
    """``old``, ``new`` or ``none``: what loads after a save that was cut off. Raises ``Fault`` for anything else."""
    found = model_at(paths)
    if scenario.is_new(found):
        return "new"
    if found != old:
        raise Fault("lost: neither the old nor the new model is there")
    return "none" if old is None else "old"


def check_next_save(paths: ArtifactPaths, other: ModelFiles) -> None:
    """A save of ``other`` succeeds and leaves its files alone. Raises ``Fault``."""
    try:
        other.commit(paths)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the fault looked for
        raise Fault(f"the next save failed: {type(error).__name__}: {error}") from None
    if contents(paths.folder) != other.named(paths.name):
        raise Fault(f"the next save left {sorted(contents(paths.folder))}")
    if model_at(paths) != other.sidecar:
        raise Fault("the next save did not save")


def naive_save(new: ModelFiles) -> Callable[[ArtifactPaths], None]:
    """Writes file after file in place, as one does without a protocol: the campaigns must find it out."""

    def save(paths: ArtifactPaths) -> None:
        for suffix in ("joblib", "onnx", "json"):
            paths.file(suffix).write_bytes(new.files[suffix])

    return save


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a campaign: ``old`` and ``new``, and ``other`` for the save afterwards; ``path`` is new's."""

    old: ModelFiles
    new: ModelFiles
    other: ModelFiles
    path: Path

    @classmethod
    def trained(cls, folder: Path) -> Models:
        """Train and save them in ``folder``."""
        paths = train(folder, 3, metadata={"kind": "trained for a campaign"})
        old, new, other = (ModelFiles.of(path) for path in paths)
        return cls(old, new, other, paths[1])

    def scenarios(self) -> list[Scenario]:
        """Every way of saving that the campaigns go through."""
        old, new = self.old.named(NAME), self.new
        bare_old, bare_new = self.old.without_joblib(), self.new.without_joblib()
        return [
            Scenario("first save", {}, new, new.commit),
            Scenario("first save, new folders", {}, new, new.commit, below="a/b"),
            Scenario("overwrite", old, new, new.commit),
            Scenario("overwrite, no hard links", old, new, new.commit, hard_links=False),
            Scenario("overwrite a model without .joblib", bare_old.named(NAME), new, new.commit),
            Scenario("overwrite by a model without .joblib", old, bare_new, bare_new.commit),
            Scenario("over a foreign .joblib", {f"{NAME}.joblib": b"foreign"}, new, new.commit),
        ]

    def naive(self) -> Scenario:
        """The control: an overwrite without a protocol."""
        return Scenario("CONTROL: naive overwrite", self.old.named(NAME), self.new, naive_save(self.new))

    def complete(self, *, over: bool) -> Scenario:
        """``EVBatteryAnalyzer.save_model`` from scoring to tidying."""
        from ev_qa_framework import EVBatteryAnalyzer  # noqa: PLC0415 - this process stays small as long as it can

        analyzer = EVBatteryAnalyzer.load_model(self.path, backend="sklearn")

        def save(paths: ArtifactPaths) -> None:
            analyzer.save_model(str(paths), metadata={"campaign": "new"})

        name = f"save_model, {'overwrite' if over else 'first save'}"
        return Scenario(name, self.old.named(NAME) if over else {}, self.new, save, marker=b'"campaign"')

    def signed(self) -> Scenario:
        """The sidecar alone replaced, by a signed one."""
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - the same

        from ev_qa_framework.signing import sign_model  # noqa: PLC0415 - the same

        key = ed25519.Ed25519PrivateKey.generate()

        def save(paths: ArtifactPaths) -> None:
            sign_model(str(paths), key)

        return Scenario("sign_model", self.old.named(NAME), self.old, save, marker=b'"signatures"')

    def after_crash(self, number: int, before: Contents) -> Scenario:
        """A save of ``new`` over what a killed save left."""
        return Scenario(f"after crash {number}", before, self.new, self.new.commit)


def sized(new: ModelFiles, suffix: str, size: int) -> ModelFiles:
    """``new`` with the file ``suffix`` as its largest, of at least ``size`` bytes where that is the sidecar."""
    if suffix == "joblib":
        return new
    if suffix == "onnx":
        return new.without_joblib()
    contract = sidecar.decode(new.sidecar)
    return ModelFiles({**new.files, "json": sidecar.encode(replace(contract, metadata={"padding": "x" * size}))})
