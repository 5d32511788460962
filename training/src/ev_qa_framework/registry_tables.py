"""How ``ev-qa registry`` shows models, events, periods and differences: tables for people, JSON for programs."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ev_qa_framework.command_line import cell, show

SHORT_DIGEST = 12
WIDEST = 160


def models(found: list[dict[str, Any]], as_json: bool) -> None:
    """Every model in one line."""
    headings = ("model", "stages", "aliases", "created", "digest", "signed")
    rows = [
        (
            item["model"],
            ", ".join(item["stages"]),
            ", ".join(item["aliases"]),
            (item["created"] or "")[: len("2026-11-23")] or item["problem"],
            (item["sidecar_sha256"] or "")[:SHORT_DIGEST],
            "yes" if item["signed_by"] else "no",
        )
        for item in found
    ]
    _print(found, as_json, "models", headings, rows)


def events(found: list[dict[str, Any]], as_json: bool) -> None:
    """Every event in one line, the oldest first."""
    headings = ("event", "time", "change", "who", "reason")
    rows = [(item["number"], item["time"], said(item), item["who"], item["reason"]) for item in found]
    _print(found, as_json, "history", headings, rows)


def event(found: dict[str, Any], as_json: bool) -> None:
    """The event that a command made."""
    shown = {"change": said(found), "who": found["who"], "time": found["time"], "reason": found["reason"] or None}
    show(found if as_json else shown, as_json, f"event {found['number']}")


def said(item: dict[str, Any]) -> str:
    """An event's change in words."""
    model, action, alias = item["model"], item["action"], item["alias"]
    target = str(item["to"]).partition("/")[0]
    if alias is None:
        return {
            "publish": f"publish {model} into {target}",
            "archive": f"archive {model}",
            "prune": f"prune {model}",
        }[action]
    if action == "clear":
        return f"clear {alias} {model}"
    before = "" if item["from"] is None else f" (before: {item['from'].partition('/')[2]})"
    return f"{action} {alias} {model}{before}"


def periods(found: list[dict[str, Any]], as_json: bool, at: str) -> None:
    """What served, one line a family and alias."""
    if not found and not as_json:
        click.echo(f"Nothing served at {at}.")
        return
    headings = ("alias", "model", "since", "until", "event", "digest")
    rows = [
        (
            item["alias"],
            item["model"],
            item["since"],
            item["until"] or "now",
            item["event"],
            item["sidecar_sha256"][:SHORT_DIGEST],
        )
        for item in found
    ]
    _print(found, as_json, f"served at {at}", headings, rows)


def description(found: dict[str, Any], as_json: bool) -> None:
    """One model and its events."""
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    show({key: value for key, value in found.items() if key != "events"}, False, found["model"])
    events(found["events"], False)


def diff(found: dict[str, Any], as_json: bool) -> None:
    """Two models side by side."""
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    changes = [(item["level"], item["what"], item["old"], item["new"]) for item in found["differences"]]
    _print(None, False, f"{found['old']} -> {found['new']}", ("step", "what", found["old"], found["new"]), changes)
    rows = [("rows trained on", *found["rows"]), ("invalid rows", *found["invalid_rows"])]
    rows.append(("time span", *(" to ".join(span) if span else None for span in found["time_span"])))
    rows += [(f".{suffix} bytes", *sizes) for suffix, sizes in found["bytes"].items()]
    names = ("lowest", "median", "mean", "highest")
    rows += [(f"golden rows' scores, {name}", *(score[name] for score in found["scores"])) for name in names]
    _print(None, False, "data, sizes, scores of golden rows", ("", found["old"], found["new"]), rows)
    if found["monitoring"]:
        _print(None, False, "over time", ("", found["old"], found["new"]), list(found["monitoring"]))
    headings = ("feature", "mean before", "mean now", "shift in std", "std ratio", "range before", "range now")
    shifts = [tuple(_range(value) for value in item.values()) for item in found["features"]]
    _print(None, False, "training data", headings, shifts)
    said = {"same training data": found["same_data"], "scores from": found["scores_computed_from"]}
    said |= {"step by rule": found["asked"], "version that follows": found["follows"]}
    show(said, False, "verdict")


def _range(value: Any) -> Any:
    return f"{value[0]:g} to {value[1]:g}" if isinstance(value, (tuple, list)) else value


def _print(found: Any, as_json: bool, title: str, headings: tuple[str, ...], rows: list[Any]) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    natural = Console(width=WIDEST).measure(table).maximum  # rather a wide table than names cut in pieces
    Console(width=max(natural, Console().width)).print(table)
