"""One list of a million records, from the first octet of the PUT to the response: records a second, and memory.

The list is sent from a file by sendfile, so that only the gateway and its database are measured.
"""

import asyncio
import os
import random
import time
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import orjson

from benches.families import families, record
from benches.rig import Gateway, arguments, load, report, rig


def write_list(path: Path, records: int) -> int:
    """Writes a list of so many records about different persons; its size in octets.

    The order is random: a real list is sorted by school, not by IIN.
    """
    pupils = list(families(records))
    random.Random(records).shuffle(pupils)
    with path.open("wb") as file:
        for number, family in enumerate(pupils):
            line = {**record(family), "record_id": f"r-{number:07}"}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    return path.stat().st_size


async def push(gateway: Gateway, path: Path, octets: int) -> dict[str, Any]:
    """Pushes the file of so many octets; the gateway's response."""
    url = gateway.http._base_url
    assert url is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"PUT /v1/lists/intake HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer bench-callers-sdu\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {octets}\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    await writer.drain()
    with path.open("rb") as file:
        await asyncio.get_running_loop().sendfile(writer.transport, file)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    response: dict[str, Any] = orjson.loads(body)
    if not head.startswith(b"HTTP/1.1 201 "):
        raise RuntimeError(f"the list was not accepted: {response}")
    return response


def peak_mb(gateway: Gateway) -> float:
    """The peak memory of the process in MB (the kernel's VmHWM)."""
    status = Path(f"/proc/{gateway.usage.pid}/status").read_text()
    kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kibibytes) * 1024 / 1e6


async def main() -> None:
    given = arguments(__doc__, records=1_000_000).parse_args()
    with NamedTemporaryFile(suffix=".ndjson", delete=False) as file:
        path = Path(file.name)
    try:
        octets = write_list(path, given.records)
        async with rig() as fresh, fresh.sink() as (sink, port), fresh.gateway(port) as gateway:
            before = gateway.rss_mb
            used = fresh.meter(gateway, sink)
            began = time.monotonic()
            response = await push(gateway, path, octets)
            seconds = time.monotonic() - began
            cost, peak = used(), peak_mb(gateway)
    finally:
        os.unlink(path)
    if response["accepted"] != given.records:
        raise RuntimeError(f"not all were accepted: {response}")
    report(
        {
            "records": f"{given.records:,} ({octets / 1e6:,.0f} MB)",
            "accepted in": f"{seconds:.1f} s",
            "records a second": f"{given.records / seconds:,.0f}",
            "memory of the gateway": f"{peak:.0f} MB at most, {before:.0f} MB before",
            "CPU": cost.table(),
            "load": load(),
        },
        {
            "records_per_s": round(given.records / seconds, 1),
            "rss_mb": round(peak, 1),
            "records": given.records,
            "seconds": round(seconds, 2),
            "cpu_s": {name: round(cpu, 2) for name, cpu in cost.cpu.items()},
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
