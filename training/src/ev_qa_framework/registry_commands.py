"""``ev-qa registry``: publish, promote, roll back, archive and inspect models from a shell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from ev_qa_framework import registry_tables as tables
from ev_qa_framework.command_line import EXIT_CODES, json_option, show, steps
from ev_qa_framework.signing_commands import key_to_sign_with, passphrase_option
from ev_qa_runtime.exit_codes import MODEL
from ev_qa_runtime.registry_event import ALIASES, LOCATIONS

if TYPE_CHECKING:
    from ev_qa_framework.registry.event import Event
    from ev_qa_framework.registry.registry import Registry
    from ev_qa_runtime.trust import TrustPolicy

alias_option = click.option("--as", "alias", type=click.Choice(ALIASES), default="champion", show_default=True)

family_option = click.option("--family", metavar="FAMILY", help="Only models of this family.")


def registry_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--root``, which the command gets as the registry that it names; what else a registry takes goes there too."""

    @wraps(command)
    def with_registry(
        *arguments: Any, root: str, who: str | None = None, despite_clock: bool = False, **options: Any
    ) -> None:
        from ev_qa_framework.registry.registry import Registry  # noqa: PLC0415 - slow import

        demands = {name: options.pop(name) for name in _DEMANDS if name in options}
        registry = Registry(root, who=who, policy=_policy(**demands), despite_clock=despite_clock)
        command(*arguments, registry=registry, **options)

    where = click.option(
        "--root",
        envvar="EV_QA_REGISTRY",
        default="artifacts",
        show_default=True,
        metavar="ROOT",
        help="The registry: a folder, or an URL such as s3://bucket/models.",
    )
    return where(with_registry)


def change_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that changes a registry."""
    by = click.option("--who", envvar="EV_QA_WHO", metavar="NAME", help="Who changes it. [default: user@host]")
    clock = click.option(
        "--despite-clock", is_flag=True, help="Go on after an event that is dated ahead of this clock, with its time."
    )
    why = click.option("--reason", default="", metavar="TEXT", help="Why; kept in the history.")
    return why(by(clock(registry_options(command))))


def trust_options(command: Callable[..., None]) -> Callable[..., None]:
    """What a model must show; an option that is not given leaves it to the environment."""
    key = click.option(
        "--public-key", "public_keys", multiple=True, metavar="PATH",
        help="Trust this key: a .pub file or a folder of them; may be repeated. [default: EV_QA_PUBLIC_KEYS]",
    )  # fmt: skip
    required = click.option(
        "--require-signature/--no-require-signature", default=None,
        help="Refuse a model that no trusted key signed. [default: EV_QA_REQUIRE_SIGNATURE, else with keys]",
    )  # fmt: skip
    lowest = click.option(
        "--minimum-version", metavar="X.Y.Z", help="Refuse an older model. [default: EV_QA_MINIMUM_VERSION]"
    )
    return key(required(lowest(command)))


_DEMANDS = ("public_keys", "require_signature", "minimum_version")


def _policy(
    public_keys: tuple[str, ...] = (), require_signature: bool | None = None, minimum_version: str | None = None
) -> TrustPolicy | None:
    if not public_keys and require_signature is None and minimum_version is None:
        return None
    from ev_qa_runtime.trust import TrustPolicy  # noqa: PLC0415 - most commands do without

    return TrustPolicy.of(public_keys or None, require_signature, minimum_version)


def key_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--sign-with`` and ``--passphrase-env``, which the command gets as a key or None."""

    @wraps(command)
    def with_key(*arguments: Any, sign_with: str | None, passphrase_env: str | None, **options: Any) -> None:
        key = None if sign_with is None else key_to_sign_with(sign_with, passphrase_env)
        command(*arguments, sign_with=key, **options)

    key = click.option("--sign-with", metavar="KEY", help="Private key, for a model that is saved under another name.")
    return key(passphrase_option(with_key))


@click.group("registry", epilog=EXIT_CODES)
def registry_group() -> None:
    """Versions of models: publish, promote, roll back, and see what served when.

    MODEL is a name such as pack_v1.2.0, or an alias: champion, challenger, or FAMILY/champion where several families
    have one. Wherever a path of a model is taken, ROOT@MODEL is taken too.
    """


@registry_group.command(epilog=EXIT_CODES)
@click.argument("model")
@click.option("--name", "family", metavar="FAMILY", help="Publish under FAMILY_vX.Y.Z. [default: the model's own]")
@click.option("--version", metavar="X.Y.Z", help="With this version. [default: the model's own]")
@click.option("--next", "follow", is_flag=True, help="With the version that follows by rule.")
@click.option("--to", type=click.Choice(["experiments", "production"]), default="experiments", show_default=True)
@key_options
@change_options
@json_option
def publish(
    model: str,
    family: str | None,
    version: str | None,
    follow: bool,
    to: str,
    sign_with: Any,
    reason: str,
    registry: Registry,
    as_json: bool,
) -> None:
    """Add the model at the path MODEL to the registry. Nothing that was published is ever replaced.

    A model that is named FAMILY_vX.Y.Z is copied byte for byte; another is saved again under that name.
    """
    if follow and version is not None:
        raise click.UsageError("either --version or --next")
    with steps() as progress:
        task = progress.add_task("loading libraries", total=2)
        from ev_qa_framework.publishing import publish_model  # noqa: PLC0415 - slow imports wait until needed

        progress.update(task, advance=1, description="publishing")
        event = publish_model(
            registry, model, family=family, version=version, follow=follow, to=to, reason=reason,
            sign_with=sign_with,
        )  # fmt: skip
    _show_event(event, as_json)


@registry_group.command(epilog=EXIT_CODES)
@click.argument("model")
@alias_option
@trust_options
@change_options
@json_option
def promote(model: str, alias: str, reason: str, registry: Registry, as_json: bool) -> None:
    """Make MODEL the champion (or challenger) of its family.

    Files that are missing or damaged are put back where another folder holds them, also those of the champion.
    """
    event = registry.promote(model, alias=alias, reason=reason)
    name = model if event else registry.state().model(model).text
    _show_event(event, as_json, f"{name} is the {alias} already, and its files are whole")


@registry_group.command(epilog=EXIT_CODES)
@click.argument("family", required=False)
@change_options
@json_option
def clear(family: str | None, reason: str, registry: Registry, as_json: bool) -> None:
    """Take the challenger of FAMILY away."""
    _show_event(registry.clear(family, reason=reason), as_json)


@registry_group.command(epilog=EXIT_CODES)
@click.argument("family", required=False)
@alias_option
@trust_options
@change_options
@json_option
def rollback(family: str | None, alias: str, reason: str, registry: Registry, as_json: bool) -> None:
    """Go back to the champion before; again, to the one before that."""
    _show_event(registry.rollback(family, alias=alias, reason=reason), as_json)


@registry_group.command(epilog=EXIT_CODES)
@click.argument("model")
@change_options
@json_option
def archive(model: str, reason: str, registry: Registry, as_json: bool) -> None:
    """Move MODEL to archive/. Refused while an alias points to it."""
    _show_event(registry.archive(model, reason=reason), as_json, f"{model} is in the archive already")


@registry_group.command(epilog=EXIT_CODES)
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Keep the N highest versions of each family.")
@click.option("--older-than", type=click.IntRange(min=0), metavar="DAYS", help="Keep what was archived within DAYS.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@change_options
@json_option
def prune(
    keep: int | None, older_than: int | None, dry_run: bool, reason: str, registry: Registry, as_json: bool
) -> None:
    """Remove models from archive/ for good, by a stated policy, and what interrupted changes left behind.

    With both limits a model goes only where neither keeps it.
    """
    if keep is None and older_than is None:
        raise click.UsageError("give --keep, --older-than, or both")
    from ev_qa_framework.registry import retention  # noqa: PLC0415 - slow import

    policy = retention.RetentionPolicy(keep, None if older_than is None else timedelta(days=older_than))
    pruned = retention.prune(registry, policy, reason=reason, dry_run=dry_run)
    show(pruned.as_dict(), as_json, "would be removed" if dry_run else "removed")


@registry_group.command("list", epilog=EXIT_CODES)
@family_option
@click.option("--stage", type=click.Choice(LOCATIONS), help="Only what lies in this folder.")
@registry_options
@json_option
def list_models(family: str | None, stage: str | None, registry: Registry, as_json: bool) -> None:
    """List every model: stages, aliases, age, digest, and whether it is signed."""
    from ev_qa_framework.registry.inventory import inventory  # noqa: PLC0415 - slow import

    tables.models([summary.as_dict() for summary in inventory(registry, family, stage)], as_json)


@registry_group.command("show", epilog=EXIT_CODES)
@click.argument("model")
@registry_options
@json_option
def show_model(model: str, registry: Registry, as_json: bool) -> None:
    """Show what MODEL is, where it lies, and its events."""
    from ev_qa_framework.registry.inventory import description  # noqa: PLC0415 - slow import

    tables.description(description(registry, model), as_json)


@registry_group.command(epilog=EXIT_CODES)
@click.argument("old")
@click.argument("new")
@registry_options
@json_option
def diff(old: str, new: str, registry: Registry, as_json: bool) -> None:
    """Say what changed from the model OLD to NEW: contract, parameters, data, scores, sizes, and the step by rule.

    Each may also be the path of a model that is not published yet.
    """
    from ev_qa_framework.registry.inventory import read_given  # noqa: PLC0415 - slow import
    from ev_qa_framework.registry.model_diff import model_diff  # noqa: PLC0415 - slow import

    tables.diff(model_diff(read_given(registry, old), read_given(registry, new)).as_dict(), as_json)


@registry_group.command(epilog=EXIT_CODES)
@click.argument("model", required=False)
@family_option
@click.option("--at", metavar="TIME", help="What served then: 2026-11-23T12:00:00Z, or a day (UTC).")
@registry_options
@json_option
def history(model: str | None, family: str | None, at: str | None, registry: Registry, as_json: bool) -> None:
    """Show every change: who, when, from, to, why; or what served at a given time. MODEL leaves out the others."""
    from ev_qa_framework.registry.event import as_dict  # noqa: PLC0415 - slow import
    from ev_qa_framework.registry.service_history import served  # noqa: PLC0415

    state = registry.existing_state()
    wanted = None if model is None else state.known(model).text
    events = registry.journal.history(state.last)
    if at is None:
        shown = [event for event in events if family in (None, event.family) and wanted in (None, event.change.model)]
        tables.events([as_dict(event) for event in shown], as_json)
        return
    periods = served(events, at)
    periods = [one for one in periods if family in (None, one.family) and wanted in (None, one.model)]
    tables.periods([one.as_dict() for one in periods], as_json, at)


@registry_group.command(epilog=EXIT_CODES)
@registry_options
@json_option
def verify(registry: Registry, as_json: bool) -> None:
    """Check every digest, the chain of events and the aliases; ends with 3 where anything is wrong."""
    from ev_qa_framework.registry import verification  # noqa: PLC0415 - slow import

    with steps() as progress:
        task = progress.add_task("verifying", total=None)
        found = verification.verify(
            registry.store, lambda done, total: progress.update(task, completed=done, total=total)
        )
    show(found.as_dict(), as_json, f"registry {registry.root}")
    if found.faults:
        raise click.exceptions.Exit(MODEL)


@registry_group.command(epilog=EXIT_CODES)
@click.argument("model")
@click.option("-o", "--output", metavar="FOLDER", default=".", show_default=True, help="Folder to copy it into.")
@click.option("--runtime-only", is_flag=True, help="Without the .joblib, which the runtime never opens.")
@trust_options
@registry_options
@json_option
def fetch(model: str, output: str, runtime_only: bool, registry: Registry, as_json: bool) -> None:
    """Copy the files of MODEL into a folder, verified: how a model gets to a gateway."""
    from ev_qa_framework.registry.destination import refuse_elsewhere  # noqa: PLC0415 - slow import
    from ev_qa_framework.registry.resolution import fetched  # noqa: PLC0415
    from ev_qa_runtime.registry_reference import Selector, read_again_if_moved  # noqa: PLC0415

    refuse_elsewhere(output)
    registry.existing_state()
    suffixes = ("onnx",) if runtime_only else ()
    store, policy = registry.store, registry.policy
    path = read_again_if_moved(
        store, Selector.parse(model), lambda place: fetched(store, place, output, suffixes, policy)
    )
    show({"model": path.name, "path": str(path)}, as_json, "fetched")


@registry_group.command(epilog=EXIT_CODES)
@click.option("--print", "only_print", is_flag=True, help="Print it instead of writing ROOT/CHANGELOG.md.")
@click.option("--overwrite", is_flag=True, help="Replace a CHANGELOG.md that was written by hand.")
@registry_options
def changelog(only_print: bool, overwrite: bool, registry: Registry) -> None:
    """Write ROOT/CHANGELOG.md from the history: what changed from version to version, by rule, and why."""
    from ev_qa_framework.registry import model_changelog  # noqa: PLC0415 - slow import

    if only_print:
        click.echo(model_changelog.changelog(registry), nl=False)
        return
    model_changelog.write_changelog(registry, overwrite=overwrite)
    click.echo(f"wrote {registry.root}/{model_changelog.CHANGELOG}")


def _show_event(event: Event | None, as_json: bool, otherwise: str = "") -> None:
    from ev_qa_framework.registry.event import as_dict  # noqa: PLC0415 - slow import

    if event is None:
        show({"event": None, "message": otherwise}, as_json, "nothing to do")
    else:
        tables.event(as_dict(event), as_json)
