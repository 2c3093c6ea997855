"""`config.toml` for a gateway whose partners are simulated."""

import json
from collections.abc import Sequence

_GATEWAY = """\
[gateway]
node = {node}
data_dir = {data_dir}
[clock]
rate = {rate}
[http]
port = {port}
tokens = {{ sdu = {sdu_token}, wallet = {wallet_token}, ops = {ops_token} }}
[journey]
[services.3]
name = "school-meals"
link = "https://egovmobile.page.link/socwallet"
"""
_PARTNERS = """\
[mcb]
url = {mcb}
token = {token}
[wallet]
url = {wallet}
token = {token}
[sdu]
url = {sdu}
token = {token}
signing_secret = {secret}
"""
_LINK = """\
[[links]]
name = {name}
host = {host}
port = {port}
system_id = "gateway"
password = {password}
source = "1414"
tps = {tps}
prefixes = {prefixes}
operators = {operators}
default = {default}
"""


def gateway_section(
    *, token: str, data_dir: str = "var", node: str = "", rate: float = 1.0, port: int = 8080
) -> str:
    """The gateway's own tables. Callers present `token` with the suffix -sdu, -wallet or -ops."""
    return _GATEWAY.format(
        node=_toml(node), data_dir=_toml(data_dir), rate=rate, port=port,
        sdu_token=_toml(f"{token}-sdu"), wallet_token=_toml(f"{token}-wallet"), ops_token=_toml(f"{token}-ops"),
    )  # fmt: skip


def partners_section(*, mcb: str, wallet: str, sdu: str, token: str, secret: str) -> str:
    """MCB, wallet and SDU at these URLs; the gateway presents `token` to all of them."""
    return _PARTNERS.format(
        mcb=_toml(mcb), wallet=_toml(wallet), sdu=_toml(sdu), token=_toml(token), secret=_toml(secret)
    )


def link_section(
    name: str,
    *,
    port: int,
    password: str,
    host: str = "127.0.0.1",
    tps: int = 1000,
    prefixes: Sequence[str] = (),
    operators: Sequence[str] = (),
    default: bool = False,
) -> str:
    """A link to a simulated SMSC; the gateway binds as `gateway` and sends from 1414."""
    return _LINK.format(
        name=_toml(name), host=_toml(host), port=port, password=_toml(password), tps=tps,
        prefixes=_toml(list(prefixes)), operators=_toml(list(operators)), default=_toml(default),
    )  # fmt: skip


def _toml(value: object) -> str:
    """The TOML of a string, a boolean or a list of strings: for these it is JSON."""
    return json.dumps(value, ensure_ascii=False)
