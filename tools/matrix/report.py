"""The matrix's results: what counts as a failure, and the tables of ``docs/compatibility.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tools.matrix.versions import Cell

BEGIN, END = "<!-- matrix: begin, written by make matrix -->", "<!-- matrix: end -->"
COMPAT_TOLERANCE = 3e-7
SCORE_TOLERANCE_ULP = 1
"""numpy's 2**x may differ by so much from another numpy's; sums, labels and severities never do."""

Results = dict[str, Any]


def failures(results: Results) -> list[str]:
    """One text for everything that must not be; empty where the claim holds."""
    found = list(results["errors"])
    for name, trained in results["training"].items():
        if trained["offset_ulp"]:
            found.append(f"{name}: the analyzer's offset is {trained['offset_ulp']} ulp from scikit-learn's own")
    for scorer, scored in results["scoring"].items():
        for profile in ("exact", "compat"):
            for trainer, one in scored.get(profile, {}).items():
                found += [f"{trainer} → {scorer}, {profile}: {text}" for text in _wrong(one, profile)]
        for trainer, refused in scored.get("exact_is_refused", {}).items():
            if not refused:
                found.append(f"{trainer} → {scorer}: this onnxruntime should refuse the exact model, and does not")
    for loader, row in results["joblib"].items():
        own = row.get(loader)
        if own is not None and joblib_word(own) != "same bits":
            found.append(f"{loader}: its own .joblib files come back as: {joblib_word(own)}")
    return found


def _wrong(one: dict[str, Any], profile: str) -> Iterable[str]:
    counts = ["labels_differing", "severities_differing", "runtime_bits_differing"]
    yield from (f"{one[name]} {name.replace('_', ' ')}" for name in counts if one[name])
    if profile == "compat":
        if one["score_difference"] > COMPAT_TOLERANCE:
            yield f"scores differ by up to {one['score_difference']:.1e}"
        return
    if one["path_length_ulp"]:
        yield f"path lengths differ by up to {one['path_length_ulp']} ulp"
    if one["score_ulp"] > SCORE_TOLERANCE_ULP:
        yield f"scores differ by up to {one['score_ulp']} ulp"


def joblib_word(files: dict[str, dict[str, Any]]) -> str:
    """What became of one training cell's ``.joblib`` files in one environment, in a few words: the worst of them."""
    failed = [one for one in files.values() if one["outcome"] != "loads"]
    if failed:
        kinds = sorted({f"{one['error']} in {one['stage']}" for one in failed})
        return f"fails: {', '.join(kinds)}" + ("" if len(failed) == len(files) else f" ({len(failed)}/{len(files)})")
    ulp, labels = (max(one[name] for one in files.values()) for name in ("ulp", "labels_differing"))
    word = "same bits" if not ulp else f"{ulp} ulp" if ulp < 1000 else "scores differ"
    word += f", {labels} labels differ" if labels else ""
    return word + (", warns" if any(one["warned"] for one in files.values()) else "")


def written(document: str, results: Results, cells: list[Cell]) -> str:
    """The document with what lies between the markers replaced; ``ValueError`` where it has no markers."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there must be lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{markdown(results, cells)}\n{END}{after}"


def markdown(results: Results, cells: list[Cell]) -> str:
    """All tables with a heading each."""
    train = [cell for cell in cells if cell.name in results["training"]]
    score = [cell for cell in cells if cell.name in results["scoring"]]
    parts = [_header(results), "### Environments that train", _training_table(results, train)]
    parts += ["### `exact`: largest difference of `score_samples`, in ulp", _exact_text(results)]
    parts.append(_scoring_table(results, train, score, "exact", lambda one: str(one["score_ulp"])))
    parts += ["### `compat`: largest difference of `score_samples`", _compat_text(results)]
    parts.append(_scoring_table(results, train, score, "compat", lambda one: f"{one['score_difference']:.0e}"))
    parts += ["### `joblib.load` across the same versions", _joblib_table(results, train)]
    found = failures(results)
    parts += ["### Failures", "\n".join(f"- {line.splitlines()[0]}" for line in found) or "None."]
    return "\n\n".join(parts) + "\n"


def _header(results: Results) -> str:
    missing = ", ".join(results["missing_pythons"])
    text = f"Run on {results['date']}, {results['machine']}, in {results['minutes']:.0f} minutes."
    return text + (f" Not run, for want of that Python: {missing}." if missing else "")


def _total(results: Results, profile: str, name: str) -> int:
    return sum(one[name] for scored in results["scoring"].values() for one in scored.get(profile, {}).values())


def _exact_text(results: Results) -> str:
    return (
        f"{_total(results, 'exact', 'models'):,} models scored, {_total(results, 'exact', 'rows'):,} rows in all,"
        f" {_total(results, 'exact', 'on_the_offset'):,} of them with a score equal to the offset. Labels that differ:"
        f" {_total(results, 'exact', 'labels_differing')}; severities:"
        f" {_total(results, 'exact', 'severities_differing')}; path lengths: largest difference"
        f" {_worst(results, 'exact', 'path_length_ulp')} ulp. A 1 is the last bit of numpy's `2**x`, which is not the"
        " same in all of its versions; the graph's own `score_samples` output, computed by onnxruntime's `Pow`, is"
        f" within {_worst(results, 'exact', 'graph_score_ulp')} ulp."
    )


def _compat_text(results: Results) -> str:
    return (
        f"{_total(results, 'compat', 'models'):,} models scored, {_total(results, 'compat', 'rows'):,} rows in all,"
        f" {_total(results, 'compat', 'on_the_offset'):,} of them with a score equal to the offset. Labels that differ:"
        f" {_total(results, 'compat', 'labels_differing')}; severities:"
        f" {_total(results, 'compat', 'severities_differing')}. Allowed are {COMPAT_TOLERANCE:.0e}."
    )


def _worst(results: Results, profile: str, name: str) -> int:
    found = [one[name] for scored in results["scoring"].values() for one in scored.get(profile, {}).values()]
    return max(found, default=0)


def _training_table(results: Results, train: list[Cell]) -> str:
    names = ("numpy", "scipy", "pandas", "joblib", "onnx", "onnxruntime")
    rows = []
    for cell in train:
        trained = results["training"][cell.name]
        refused = ", ".join(trained["refused"]) or "–"
        rows.append([_label(cell), *(trained["versions"][name] for name in names), str(len(trained["cases"])), refused])
    return _table(["scikit-learn (Python)", *names, "models", "scikit-learn itself refuses to fit"], rows)


def _scoring_table(
    results: Results, train: list[Cell], score: list[Cell], profile: str, text: Callable[[dict[str, Any]], str]
) -> str:
    rows = []
    for cell in score:
        found = results["scoring"][cell.name].get(profile)
        if found is not None:
            texts = [text(found[name]) if (name := trained.name) in found else "–" for trained in train]
            rows.append([cell.subject, cell.pins["numpy"], cell.python, *texts])
    return _table(["onnxruntime", "numpy", "Python", *(_label(cell) for cell in train)], rows)


def _joblib_table(results: Results, train: list[Cell]) -> str:
    rows = []
    for cell in train:
        row = results["joblib"].get(cell.name, {})
        rows.append(
            [_label(cell), *(joblib_word(row[name]) if (name := saved.name) in row else "–" for saved in train)]
        )
    return _table(["loaded in ↓, saved in →", *(_label(cell) for cell in train)], rows)


def _label(cell: Cell) -> str:
    return f"{cell.subject} ({cell.python})"


def _table(heading: list[str], rows: list[list[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
