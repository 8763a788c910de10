"""The page of the benchmarks: `page.txt` with the figures of one run. Its words stand there, and their sizes in the benchmarks."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from tests.bench import suite
from tests.bench.environment import ROOT
from tests.bench.figures import DATABASES

TEMPLATE = Path(__file__).with_name("page.txt")
QUOTING = (ROOT / "README.md",)
"""The other pages with figures."""
TABLE_HEAD = f"| Figure | Target | {' | '.join(DATABASES.values())} |\n|---|---|{'---|' * len(DATABASES)}"

_QUOTATION = re.compile(r"(<!-- benchmarks: (\w+) -->\n).*?(<!-- end of benchmarks -->)", re.DOTALL)

"""What `tests.bench.suite.run_all` returns."""


def render(results):
    """Return the page with the figures of a run."""
    modules = {name: suite.module_of(name) for name in suite.NAMES}
    figures = {key: "\n".join(_row(results, name, figure) for name, figure in rows) for key, rows in tables().items()}
    text = TEMPLATE.read_text(encoding="utf-8")
    return text.format(
        **modules,
        customers=suite.module_of("customers"),
        head=TABLE_HEAD,
        rows=figures,
        run=_run(results),
    )


def tables():
    """Return the figures of each part of a table, with their benchmarks: one part per benchmark and name of a table."""
    found = {}
    for name in suite.NAMES:
        for figure in suite.module_of(name).FIGURES:
            found.setdefault(f"{name}_{figure.table}" if figure.table else name, []).append((name, figure))
    return found


def quote(results):
    """Write the figures of a run into the other pages that quote them."""
    for path in QUOTING:
        path.write_text(quoted(path.read_text(encoding="utf-8"), results), encoding="utf-8")


def quoted(text, results):
    """Return the text of a page with the quotations of a run: each stands between two comments."""
    return _QUOTATION.sub(lambda match: f"{match[1]}{QUOTATIONS[match[2]](results)}\n{match[3]}", text)


def _row(results, name, figure):
    cells = [_cell(results, db, name, figure) for db in DATABASES]
    return f"| {figure.label} | {figure.target()} | {' | '.join(cells)} |"


def _cell(results, db, name, figure):
    """Return a cell: a partial run has no figures of some benchmarks."""
    measured = results["runs"].get(db, {}).get(name, {})
    return figure.cell(db, measured["figures"][figure.name]) if "figures" in measured else "not in this run"


def _run(results):
    """Return the table of the run: where and when it was."""
    day = date.fromisoformat(results["date"])
    rows = {
        "Commit": f"`{results['commit']}`{', with uncommitted changes' if results['dirty'] else ''}",
        "Date": f"{day.day} {day:%B %Y}",
        "Machine": results["machine"],
        "Versions": results["versions"],
    }
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join([*_warnings(results), *lines])


def _warnings(results):
    if results["scale"] != 1:
        yield f"**This run is a try with {results['scale']:.2%} of the sizes. Its figures say nothing.**\n"
    if suite.missing(results):
        yield "**This run is partial: some benchmarks were left out.**\n"


def _polling(results):
    """Return polling and webhooks on SQLite, side by side."""
    polling = suite.module_of("polling")
    found = results["runs"]["sqlite"]["polling"]["figures"]
    figures = {figure.name: figure for figure in polling.FIGURES}

    def cell(name):
        return figures[name].cell("sqlite", found[name])

    lines = ["| | Polling: five searches, once a minute | Webhooks |", "|---|---|---|"]
    for name, (label, *_units) in polling.MEASURED.items():
        if name != "p95":
            lines.append(f"| {label} | {cell(f'polling_{name}')} | {cell(f'webhooks_{name}')} |")
    limit = cell("equal_database")
    reach = "at any number of changes" if limit == "any" else f"up to {limit} changes an hour"
    lines += [
        "",
        f"In the table, a customer has 60 changes an hour. Webhooks take less database time than polling {reach}.",
    ]
    lines += [f"This is one run with SQLite, all on one machine, at commit `{results['commit']}`."]
    return "\n".join(lines)


QUOTATIONS = {"polling": _polling}
