"""The report: outcomes by kind of family, the checks on the whole run, and every difference by record."""

from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.demo.checks import Check, Outcome


def report(console: Console, outcomes: Sequence[Outcome], checks: Sequence[Check], seconds: float) -> bool:
    """Prints the report; whether every case ended as expected and every check holds."""
    console.print(_table(outcomes))
    for check in checks:
        mark = "[green]ok[/]" if check.holds else "[red]NO[/]"
        console.print(
            f" {mark}  {check.name}" + (f": {escape(check.detail)}" if check.detail else ""),
            highlight=False,
            soft_wrap=True,
        )
    console.print()
    wrong = [outcome for outcome in outcomes if outcome.differences]
    for outcome in wrong:
        for difference in outcome.differences:
            console.print(f" {outcome.child.record_id}  {difference}", style="red", highlight=False, markup=False)
    failed = [check for check in checks if not check.holds]
    if wrong:
        console.print(f"{len(wrong)} of {len(outcomes)} records did not end as expected.", style="bold red")
    elif failed:
        console.print(
            f"All {len(outcomes)} records ended as expected, but not every check holds.", style="bold red"
        )
    else:
        console.print(f"All {len(outcomes)} records ended as expected, after {seconds:.0f} s.", style="bold")
    return not wrong and not failed


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("kind of family")
    table.add_column("records", justify="right")
    table.add_column("must end as")
    table.add_column("as expected", justify="right")
    for kind, group in groupby(outcomes, key=lambda outcome: outcome.child.family.kind):
        ended = list(group)
        matching = sum(not outcome.differences for outcome in ended)
        states = dict.fromkeys(scenario.state for scenario in kind.children)
        all_match = matching == len(ended)
        shown = f"{matching}" if all_match else f"{matching} of {len(ended)}"
        table.add_row(kind.name, str(len(ended)), ", ".join(states), shown, style="" if all_match else "bold red")
    return table
