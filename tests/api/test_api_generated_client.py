"""A client generated from the served document is complete and works, as docs/partners/client.md tells."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

from gateway.components import Components
from tests.api.apiclient import DOCUMENT, Api
from tests.api.test_api_statuses import seal
from tests.docs.programs import PARTNERS, blocks, run
from tests.packaging.test_requirements import pins

PAGE = (PARTNERS / "client.md").read_text(encoding="utf-8")


async def test_a_client_generated_from_openapi_json_is_complete_and_pushes_a_list_and_reads_its_outcome(
    api: Api, components: Components, tmp_path: Path
) -> None:
    _, generate = blocks(PAGE, "sh")
    push, push_records, follow = blocks(PAGE, "python")
    shutil.copy(PARTNERS / "sample-list.ndjson", tmp_path)
    environment = {
        "GATEWAY": f"http://127.0.0.1:{api.call.port}",
        "SDU_TOKEN": "sdu-token-of-tests",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    await run("sh", "-euc", generate, environment=environment, cwd=tmp_path)
    modules = (tmp_path / "sms_gateway_client" / "api").glob("*/[!_]*.py")
    assert sorted(module.stem.replace("_", "") for module in modules) == sorted(operations())

    async def python(program: str) -> list[str]:
        """The lines that the program prints."""
        printed = await run(sys.executable, "-c", program, environment=environment, cwd=tmp_path)
        return printed.splitlines()

    accepted, error, progress, of_records = await python(push + push_records)
    assert accepted == "2 accepted, 1 rejected"
    assert error == "line 3 r-000003 /pupil/iin iin_checksum"
    assert json.loads(progress) == (await api.get("/v1/lists/2026-11-22-b")).json["progress"]
    assert re.search(r"accepted=1\b.*rejected=0\b", of_records)
    await seal(components)
    assert await python(follow) == ["1 r-000001 received", "2 r-000002 received", "3 r-000004 received"]


def operations() -> list[str]:
    """The name of each operation of the document, in small letters."""
    items = DOCUMENT["paths"].values()
    return [item[method]["operationId"].lower() for item in items for method in item if method != "parameters"]


def test_the_page_installs_the_generator_that_the_tests_run() -> None:
    (version,) = re.findall(r"pip install openapi-python-client==(\S+)", PAGE)
    assert version == pins("requirements-dev.lock")["openapi-python-client"]
