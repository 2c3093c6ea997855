"""Which link carries a number: the operator the MCB names, then the prefix, then the default link."""

from collections.abc import Sequence

from gateway.config import Link as LinkConfig


class Routing:
    """Look-up tables over the configured links."""

    def __init__(self, links: Sequence[LinkConfig]) -> None:
        self._by_operator = {name.casefold(): link.name for link in links for name in (link.name, *link.operators)}
        self._by_prefix = {prefix: link.name for link in links for prefix in link.prefixes}
        self._default = next((link.name for link in links if link.default), None)
        self._fallbacks = {link.name: link.fallback for link in links}

    def link_for(self, msisdn: str, operator: str | None) -> str | None:
        """The link's name; None when neither operator nor prefix is claimed and there is no default.

        Numbers are portable: an operator named by the MCB has precedence over the prefix, if a link claims it.
        """
        if operator is not None and (link := self._by_operator.get(operator.casefold())):
            return link
        return self._by_prefix.get(msisdn[1:4], self._default)

    def carriers(self, operator: str | None) -> Sequence[str] | None:
        """The links by which replies of a number may come: that of its operator and its fallbacks. None: any.

        Without an operator named by the MCB any link may: a prefix proves nothing, since numbers are portable.
        """
        own = self._by_operator.get(operator.casefold()) if operator is not None else None
        return None if own is None else (own, *self._fallbacks[own])
