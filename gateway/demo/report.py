"""The last page: outcomes by kind, what holds for the whole run, and every difference by its record."""

from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.demo.verdict import Check, Ending


def report(console: Console, endings: Sequence[Ending], checks: Sequence[Check], seconds: float) -> bool:
    """Prints it all; whether everything is as the scripts say."""
    console.print(_table(endings))
    for check in checks:
        mark = "[green]ok[/]" if check.holds else "[red]NO[/]"
        console.print(
            f" {mark}  {check.name}" + (f": {escape(check.detail)}" if check.detail else ""),
            highlight=False,
            soft_wrap=True,
        )
    console.print()
    wrong = [ending for ending in endings if ending.differences]
    for ending in wrong:
        for difference in ending.differences:
            console.print(f" {ending.child.record_id}  {difference}", style="red", highlight=False, markup=False)
    broken = [check for check in checks if not check.holds]
    if wrong:
        console.print(f"{len(wrong)} of {len(endings)} records did not end as told.", style="bold red")
    elif broken:
        console.print(f"All {len(endings)} records ended as told, but not everything holds.", style="bold red")
    else:
        console.print(f"All {len(endings)} records ended as told, after {seconds:.0f} s.", style="bold")
    return not wrong and not broken


def _table(endings: Sequence[Ending]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("kind of family")
    table.add_column("records", justify="right")
    table.add_column("must end as")
    table.add_column("as told", justify="right")
    for role, group in groupby(endings, key=lambda ending: ending.child.family.role):
        ended = list(group)
        good = sum(not ending.differences for ending in ended)
        states = dict.fromkeys(script.state for script in role.children)
        whole = good == len(ended)
        told = f"{good}" if whole else f"{good} of {len(ended)}"
        table.add_row(role.name, str(len(ended)), ", ".join(states), told, style="" if whole else "bold red")
    return table
