"""The display on a terminal: an updating table, drawn by rich, below the finished scenes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from example_project.demo.display import (
    LEGEND,
    Display,
    Row,
    Scene,
    arrival_line,
    number,
    request_lines,
    rows,
    summary,
)
from example_project.demo.ledger import Arrival, Endpoint, Ledger
from example_project.demo.verdict import Verdict


class LiveDisplay(Display):
    """Prints finished scenes with a mark; the table below them shows the deliveries."""

    def __init__(self, ledger: Ledger, console: Console) -> None:
        super().__init__(ledger, console.file)
        self._console = console
        self._last_line: Spinner | Text = Text()
        self._live = Live(
            console=console,
            get_renderable=self._picture,
            refresh_per_second=8,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def begins(self, scene: Scene) -> None:
        """Show a spinner next to the title."""
        self._last_line = Spinner("dots", text=Text(scene.title, style="bold"), style="cyan")

    def ends(self, scene: Scene, *, well: bool) -> None:
        """Print a line with a mark."""
        self._last_line = Text()
        mark = Text("✓", style="bold green") if well else Text("✗", style="bold red")
        line = Text.assemble((f"{self.seconds:5.1f} s ", "dim"), mark, " ", scene.title)
        if scene.detail:
            line.append(f"\n          {scene.detail}", style="cyan")
        self._console.print(line)

    def close(self, verdict: Verdict | None) -> None:
        """Stop updating the table, and print the verdict below it."""
        self._last_line = Text()
        self._live.stop()
        if verdict is not None:
            self._console.print(Text("\n".join(LEGEND), style="dim"))
            self._console.print(Text("\n".join(["", *request_lines(self.ledger), ""])))
            self._console.print(_closing_words(verdict))

    def arrival(self, arrival: Arrival) -> None:
        """Print a received request."""
        style = "" if arrival.event is not None else "bold red"
        self._console.print(Text(arrival_line(self.ledger.endpoints, arrival), style=style))

    def notice(self, lines: Sequence[str]) -> None:
        """Print important lines in a frame."""
        self._console.print(Panel("\n".join(lines), expand=False, border_style="cyan"))

    def say(self, line: str) -> None:
        """Print one line above the table."""
        self._console.print(Text(line))

    def _picture(self) -> Group:
        table = rows(self.ledger)
        parts = [_table(self.ledger.endpoints, table)] if self.ledger.endpoints else []
        return Group(*parts, self._last_line)


def _table(endpoints: Sequence[Endpoint], lines: Sequence[Row]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("events", justify="right", no_wrap=True)
    before = ""
    for endpoint in endpoints:
        # The organization's first word, above its first webhook: so the table fits into 80 columns.
        owner = "" if endpoint.organization == before else endpoint.organization.split()[0]
        before = endpoint.organization
        table.add_column(Text.assemble((f"{owner}\n", "dim"), endpoint.name), justify="right", no_wrap=True)
    table.add_column("p50\nms", justify="right", no_wrap=True)
    table.add_column("p95\nms", justify="right", no_wrap=True)
    for line in lines:
        last = line is lines[-1]
        if last:
            table.add_section()
        table.add_row(
            line.title,
            str(line.events),
            *(_cell(arrived, of) for arrived, of in line.deliveries),
            number(line.p50),
            number(line.p95),
            style="bold" if last else "",
        )
    return table


def _cell(arrived: int, of: int) -> Text:
    if not of:
        return Text("·", style="dim")
    return Text(f"{arrived}/{of}", style="green" if arrived == of else "yellow")


def _closing_words(verdict: Verdict) -> Panel:
    table = Table.grid(padding=(0, 2))
    for label, text in summary(verdict):
        table.add_row(Text(label, style="bold"), text)
    for problem in verdict.problems:
        table.add_row(Text("Problem", style="bold red"), problem)
    title = "Everything arrived" if verdict.passed else "The demo found problems"
    style = "green" if verdict.passed else "red"
    return Panel(
        table, title=f"[bold]{title}", subtitle=f"{verdict.figures.seconds} s", border_style=style, expand=False
    )
