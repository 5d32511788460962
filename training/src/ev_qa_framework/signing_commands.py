"""``ev-qa keygen``, ``sign`` and ``signatures``, and the options with which ``train`` signs."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ev_qa_framework.command_line import EXIT_CODES, json_option, show
from ev_qa_runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from ev_qa_framework.signing import SigningKey

passphrase_option = click.option(
    "--passphrase-env", metavar="VARIABLE", help="Environment variable that holds the private key's passphrase."
)
expires_option = click.option(
    "--expires", metavar="DATE", help="Until when the signature holds: 2027-01-31, or 2027-01-31T12:00Z; else for ever."
)


@click.command(epilog=EXIT_CODES, short_help="Make a key to sign models with.")
@click.option("-o", "--output", "output", required=True, metavar="NAME", help="Writes NAME.key and NAME.pub.")
@passphrase_option
@click.option("--ask-passphrase", is_flag=True, help="Ask for a passphrase that encrypts NAME.key.")
@json_option
def keygen(output: str, passphrase_env: str | None, ask_passphrase: bool, as_json: bool) -> None:
    """Make a key to sign models with: NAME.key is private and stays where it is, NAME.pub goes to the gateways.

    Neither file is ever overwritten. Without a passphrase the private file is protected by its mode (0600) alone.
    """
    from ev_qa_framework.signing import generate_key  # noqa: PLC0415 - slow import

    if passphrase_env is not None:
        passphrase: str | None = _passphrase_in(passphrase_env)
    else:
        passphrase = _asked(confirm=True) if ask_passphrase else None
    key = generate_key(output, passphrase)
    stem = output.removesuffix(".key").removesuffix(".pub")
    shown = {"key_id": key.key_id, "private_key": f"{stem}.key", "public_key": f"{stem}.pub"}
    show(shown, as_json, "new key")


@click.command(epilog=EXIT_CODES, short_help="Sign a model where it lies.")
@click.argument("name")
@click.option("--key", "key_file", required=True, metavar="FILE", help="Private key, as ev-qa keygen writes it.")
@passphrase_option
@expires_option
@click.option("--valid-days", type=click.IntRange(min=1), metavar="N", help="Instead of --expires: N days from now.")
@click.option("--replace", is_flag=True, help="Replace the signature that this key has made before.")
@json_option
def sign(
    name: str,
    key_file: str,
    passphrase_env: str | None,
    expires: str | None,
    valid_days: int | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Sign the model NAME where it lies, after checking all of it. Signatures of other keys stay."""
    if expires is not None and valid_days is not None:
        raise click.UsageError("--expires and --valid-days exclude each other")
    from ev_qa_framework.signing import sign_model  # noqa: PLC0415 - slow imports

    until = expires if valid_days is None else datetime.now(UTC) + timedelta(days=valid_days)
    signature = sign_model(name, key_to_sign_with(key_file, passphrase_env), expires=until, replace_own=replace)
    show(signature.statement(), as_json, f"signed {name}")


@click.command(epilog=EXIT_CODES, short_help="Show who signed a model.")
@click.argument("name")
@click.option("--public-key", "public_keys", multiple=True, metavar="PATH", help="A .pub file or a folder of them.")
@json_option
def signatures(name: str, public_keys: tuple[str, ...], as_json: bool) -> None:
    """Show who signed the model NAME, until when, and whether each signature is valid under the public keys.

    NAME is a path, or a reference such as artifacts@champion, also into another store.
    Without --public-key the keys of EV_QA_PUBLIC_KEYS are taken. Ends with 0 whatever is found: loading decides.
    """
    from ev_qa_framework.registry.resolution import read_resolved  # noqa: PLC0415 - for when a model is read
    from ev_qa_runtime.artifact import read_sidecar  # noqa: PLC0415 - the same
    from ev_qa_runtime.signature import state_of  # noqa: PLC0415 - the same
    from ev_qa_runtime.signature_member import split  # noqa: PLC0415 - the same
    from ev_qa_runtime.trust import TrustPolicy  # noqa: PLC0415 - the same

    data, contract = read_resolved(name, read_sidecar)
    keys = TrustPolicy.of(public_keys or None, require_signature=False).public_keys
    blank, found = split(data)
    now = datetime.now(UTC)
    listed = [one.statement() | {"state": str(state_of(one, blank, keys, now))} for one in found]
    shown = {"name": contract.name, "version": str(contract.version), "signatures": listed}
    show(shown if as_json else shown | {"signatures": _lines(listed)}, as_json, name)


def key_to_sign_with(path: str, passphrase_env: str | None) -> SigningKey:
    """The private key at ``path``; its passphrase comes from the variable, or is asked for on a terminal."""
    from ev_qa_framework.signing import is_encrypted, read_private_key  # noqa: PLC0415 - slow import

    if passphrase_env is not None:
        return read_private_key(path, _passphrase_in(passphrase_env))
    if is_encrypted(path) and sys.stdin.isatty():
        return read_private_key(path, _asked(confirm=False))
    return read_private_key(path)


def _passphrase_in(variable: str) -> str:
    passphrase = os.environ.get(variable)
    if not passphrase:
        raise ConfigurationError(f"the environment variable {variable} holds no passphrase: it is not set, or empty")
    return passphrase


def _asked(*, confirm: bool) -> str:
    asked: str = click.prompt("Passphrase of the private key", hide_input=True, confirmation_prompt=confirm, err=True)
    return asked


def _until(expires: str | None) -> str:
    return "for ever" if expires is None else f"until {expires}"


def _lines(listed: list[dict[str, Any]]) -> str:
    """One line a signature, for the table."""
    lines = (f"{one['key_id']}: signed {one['signed']}, {_until(one['expires'])}, {one['state']}" for one in listed)
    return "\n".join(lines) or "none"
