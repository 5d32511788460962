"""``ev-qa-runtime`` and ``python -m ev_qa_runtime``: score telemetry from a shell, with the runtime alone."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ev_qa_runtime import __version__, commands
from ev_qa_runtime.exit_codes import USER_ERRORS, exit_code, in_options, one_line, printable
from ev_qa_runtime.row_range import parse_rows

if TYPE_CHECKING:
    from ev_qa_runtime.trust import TrustPolicy

TOLD_REASONS = 3
FIRST_DATE_S, LAST_DATE_S = 315_532_800.0, 253_402_300_800.0
"""1980 to 9999: seconds in between are points in time, others are counted from a start of their own."""

EXIT_CODES = """exit codes:
  0  done
  2  the command line is wrong
  3  the model is missing, damaged, not trusted or cannot be used here
  4  the telemetry does not fit the model, or a setting or a key will not do
  5  a file cannot be read or written
  130  interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    options = _parser().parse_args(arguments)
    try:
        result = options.run(options)
        print(json.dumps(result, indent=2) if options.json else _table(result))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except USER_ERRORS as error:
        print(f"ev-qa-runtime: error: {in_options(one_line(error), vars(options))}", file=sys.stderr)
        return exit_code(error)
    return 0


def _score(given: argparse.Namespace) -> dict[str, Any]:
    result = commands.score(given.model, given.telemetry, given.output, given.rows, _policy(given), given.current_sign)
    if result.get("remark") is not None:
        result["remark"] = in_options(result["remark"], vars(given))
    return result


def _rows(text: str) -> slice:
    try:
        return parse_rows(text)
    except ValueError as error:  # argparse shows the text of this error type only
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ev-qa-runtime",
        description="Score EV-battery telemetry with a saved model. Needs numpy and onnxruntime only.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    score = _command(subparsers, "score", "score a CSV file and say what was found")
    score.add_argument(
        "telemetry", metavar="TELEMETRY.csv", help="a .csv or .csv.gz with a header line, or - for stdin"
    )
    score.add_argument("-o", "--output", metavar="OUT.csv", help="write the rows with score, label, severity, reasons")
    score.add_argument(
        "--rows", type=_rows, default=slice(None), metavar="START:STOP", help="data rows to score, from 0"
    )
    score.add_argument(
        "--current-sign",
        choices=("discharge_positive", "charge_positive"),
        help="which current of the file is positive (default: as in the model's training)",
    )
    _add_trust_options(score)
    score.set_defaults(run=_score)

    info = _command(subparsers, "info", "show what a model is and what it was trained on")
    _add_trust_options(info)
    info.set_defaults(run=lambda given: commands.info(given.model, _policy(given)))

    verify = _command(subparsers, "verify", "check signatures, the digests of every file, and score the golden rows")
    _add_trust_options(verify)
    verify.set_defaults(run=lambda given: commands.verify(given.model, _policy(given)))

    bench = _command(subparsers, "bench", "time loading and scoring on this machine")
    bench.add_argument("--seconds", type=_seconds, default=3.0, help="how long to measure (default: 3)")
    bench.set_defaults(run=lambda given: commands.bench(given.model, given.seconds))
    return parser


def _command(subparsers: Any, name: str, what: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "model",
        metavar="NAME",
        help="path of the model, such as models/baseline_v2.0, or a registry's reference, such as artifacts@champion",
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return command


def _add_trust_options(command: argparse.ArgumentParser) -> None:
    """What a model must show to be loaded; an option that is not given leaves it to the environment."""
    command.add_argument(
        "--public-key",
        action="append",
        metavar="PATH",
        help="trust this key: a .pub file or a folder of them; may be repeated (default: EV_QA_PUBLIC_KEYS)",
    )
    command.add_argument(
        "--require-signature",
        action=argparse.BooleanOptionalAction,
        help="refuse a model that no trusted key signed (default: EV_QA_REQUIRE_SIGNATURE, else with keys)",
    )
    command.add_argument(
        "--minimum-version", metavar="X.Y.Z", help="refuse an older model (default: EV_QA_MINIMUM_VERSION)"
    )


def _policy(given: argparse.Namespace) -> TrustPolicy:
    from ev_qa_runtime.trust import TrustPolicy  # noqa: PLC0415 - the commands that load nothing do without

    return TrustPolicy.of(given.public_key, given.require_signature, given.minimum_version)


def _table(result: dict[str, Any], indent: str = "") -> str:
    width = max(map(len, result), default=0)
    lines = []
    for name, value in result.items():
        if name == "events" and value and isinstance(value, list):
            lines += [f"{indent}events", *(f"{indent}  {printable(_event(event))}" for event in value)]
        elif isinstance(value, dict) and value:
            lines += [f"{indent}{printable(name)}", _table(value, indent + "  ")]
        else:
            unversioned = (name, value) == ("version", "0.0.0")
            text = "0.0.0, which stands for none (name it NAME_vX.Y.Z)" if unversioned else _cell(value)
            lines.append(f"{indent}{printable(name):<{width}}  {printable(text)}")
    return "\n".join(lines)


def _event(event: dict[str, Any]) -> str:
    """One event in a line, with its most frequent reasons."""
    whose = f"{event['vehicle']}: " if event["vehicle"] else ""
    when = "" if event["start_time"] is None else f", {_span(event['start_time'], event['end_time'])}"
    peak = "" if event["peak_score"] is None else f", lowest score {event['peak_score']:.4f}"
    reasons = [one["reason"] for one in event["reasons"]]
    why = f": {', '.join(reasons[:TOLD_REASONS])}" if reasons else ""
    more = f" (and {len(reasons) - TOLD_REASONS} more)" if len(reasons) > TOLD_REASONS else ""
    return f"{whose}{event['severity']} rows {event['start_row']} to {event['end_row']}{when}{peak}{why}{more}"


def _span(start: float, end: float) -> str:
    """Dates where both are, else seconds with all their digits."""
    if not all(FIRST_DATE_S <= seconds < LAST_DATE_S for seconds in (start, end)):
        return f"{start:.15g} to {end:.15g} s"
    from datetime import UTC, datetime  # noqa: PLC0415 - only where events have dates

    began, ended = (f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" for seconds in (start, end))
    return f"{began} to {ended} UTC"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and value:
        return ", ".join(" ".join(map(str, _parts(item))) for item in value)
    return "-" if value in (None, {}, []) else str(value)


def _parts(item: Any) -> list[Any]:
    return [part for part in item.values() if part is not None] if isinstance(item, dict) else [item]


if __name__ == "__main__":
    sys.exit(main())
