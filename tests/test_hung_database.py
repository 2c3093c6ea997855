"""The database hangs, as on a disk that does not respond: nothing waits forever, and nothing is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smpplib import consts

from tests.harness import Family, Harness, harness
from tests.store.test_database import SMALL, postmaster

__all__ = ["harness"]

SHORT_SECONDS = 0.3


@contextmanager
def hanging(data_dir: Path) -> Iterator[None]:
    """All processes of the server are stopped."""
    server = postmaster(data_dir)
    processes = [server, *server.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


async def test_replies_get_rx_t_appn_while_the_database_hangs_and_are_processed_after_it(
    harness: Harness, data_dir: Path
) -> None:
    harness.set_policy(
        acquire_timeout_seconds=SHORT_SECONDS,
        receiver={"store_timeout_seconds": SHORT_SECONDS},
        database={"embedded_settings": SMALL},
    )
    await harness.start(gateway={"database": "embedded", "data_dir": str(data_dir)})
    families = [Family(n=n) for n in range(1, 5)]
    await harness.ask(*families)
    with hanging(data_dir):
        for family in families:
            assert await harness.smsc.reply(family.number, "3#1") == consts.SMPP_ESME_RX_T_APPN
    for family in families:
        assert await harness.smsc.reply(family.number, "3#1", until_accepted=True) == 0
        await harness.status(family, "voucher_issued")
    assert len(harness.wallet.keys) == len(families)
    assert len(harness.smsc.connections) == 1
    harness.no_complaints()
    assert await harness.stop() == [0]
