"""A short torture run: the real gateway, killed again and again. `scripts/torture` is the long one."""

from pathlib import Path

from ordeal.run import Settings, torture

KILLS = 20


async def test_nothing_is_lost_or_invented_by_a_gateway_that_is_killed_at_random_instants(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings(cases=70, kills=KILLS, seed=4, day=0.9, longest=2.0, url=database_url)
    wrongs, counts = await torture(settings, tmp_path)
    assert wrongs == []
    assert counts["kills"] == KILLS
