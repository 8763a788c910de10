"""The page of the benchmarks: `page.txt` with the figures of one run. Its words stand there, and their sizes in the benchmarks."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from statistics import median

from tests.bench import suite
from tests.bench.environment import ROOT
from tests.bench.figures import DATABASES

TEMPLATE = Path(__file__).with_name("page.txt")
QUOTING = (ROOT / "README.md", ROOT / "docs" / "howto" / "from-polling.md")
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
        **{
            f"{name.capitalize()} with {DATABASES[db]}, later": f"commit `{one['commit']}`, {one['date']}, load {one['load']}"
            for db, runs in results["runs"].items()
            for name, one in runs.items()
            if "commit" in one
        },
    }
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join([*_warnings(results), *lines])


def _warnings(results):
    if results["scale"] != 1:
        yield f"**This run is a try with {results['scale']:.2%} of the sizes. Its figures say nothing.**\n"
    if suite.missing(results):
        yield "**This run is partial: some benchmarks were left out.**\n"


CUSTOMERS = (1, 10, 100, 1_000)
INTERVALS = {1: "1 minute", 5: "5 minutes", 15: "15 minutes", 60: "1 hour"}
"""What the table of the break-even has."""


def _of_polling(results, db):
    """Return the medians of the benchmark of polling, and a function that returns the cell of a figure."""
    polling = suite.module_of("polling")
    found = results["runs"][db]["polling"]["figures"]
    figures = {figure.name: figure for figure in polling.FIGURES}
    values = {name: median(some) if None not in some else None for name, some in found.items()}
    return values, lambda name: figures[name].cell(db, found[name])


def _headline(results):
    """Return what webhooks bring, and their price, in one sentence, and what was measured."""

    def price(db):
        values, _cell = _of_polling(results, db)
        return [f"{values[f'webhooks_{name}'] / values[f'polling_{name}']:.0%}" for name in ("cpu", "database")]

    _values, cell = _of_polling(results, "sqlite")
    (cpu, database), others = price("sqlite"), price("postgres")
    customers = suite.module_of("polling").CUSTOMERS
    return (
        f"**A customer has each change after {cell('webhooks_p50')} instead of {cell('polling_p50')}, for {cpu} of the CPU and "
        f"{database} of the database time of polling.**\nThis is with SQLite, {customers} customers, and one change and one poll a "
        f"minute each; with PostgreSQL it is {' and '.join(others)}."
    )


def _polling(results):
    """Return polling and webhooks on SQLite, side by side."""
    polling = suite.module_of("polling")
    _values, cell = _of_polling(results, "sqlite")
    lines = ["| | Polling once a minute | Webhooks |", "|---|---|---|"]
    for name, (label, *_units) in polling.MEASURED.items():
        if name != "p95":
            lines.append(f"| {label} | {cell(f'polling_{name}')} | {cell(f'webhooks_{name}')} |")
    limit = cell("equal_database")
    reach = "at any number of changes" if limit == "any" else f"up to {limit} changes an hour"
    lines += [
        "",
        f"In the table, a customer has 60 changes an hour. Webhooks take less database time than polling {reach}.",
    ]
    commit = results["runs"]["sqlite"]["polling"].get("commit", results["commit"])
    lines += [f"This is one run with SQLite, all on one machine, at commit `{commit}`."]
    return "\n".join(lines)


def _break_even(results):
    """Return the changes of a customer in an hour up to which webhooks take less CPU and less database time than polling."""
    polling = suite.module_of("polling")
    found = {db: _of_polling(results, db)[0] for db in DATABASES}

    def cell(customers, minutes, db):
        limits = [
            polling.break_even(
                *(found[db][f"{part}_{name}"] for part in ("poll", "delivery", "idle")),
                customers=customers,
                minutes=minutes,
            )
            for name in polling.COSTS
        ]
        known = [limit for limit in limits if limit is not None]
        return f"{min(known):,.0f}" if known else "any"

    lines = [f"| Customers | {' | '.join(INTERVALS.values())} |", f"|---|{'---|' * len(INTERVALS)}"]
    for customers in CUSTOMERS:
        cells = [" / ".join(cell(customers, minutes, db) for db in DATABASES) for minutes in INTERVALS]
        lines.append(f"| {customers:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


QUOTATIONS = {"polling": _polling, "headline": _headline, "break_even": _break_even}
