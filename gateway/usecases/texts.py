"""The texts of the services, rendered for sending: link, body and number of segments."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.config import Link as LinkConfig
from gateway.config.routing import Routing
from gateway.consent.inputs import Send
from gateway.consent.reply import ReplyRules
from gateway.consent.texts import Kind, Templates, Text
from gateway.smpp.text import segment_count
from gateway.store.cases import StoredCase, name_of
from gateway.store.outbox import NewSms


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A proactive service: its code, its texts, and the rules by which replies to it are read."""

    code: str
    name: str
    link: str  # the URL in text 3
    templates: Templates
    replies: ReplyRules


class TextRenderer:
    """Renders the texts of all services for all links."""

    def __init__(self, services: Mapping[str, Service], links: Iterable[LinkConfig], routing: Routing) -> None:
        self._services = services
        self._routing = routing
        self._long_messages = {link.name: link.long_messages for link in links}

    def render(self, stored: StoredCase, send: Send) -> NewSms | None:
        """The text to queue; None when no link carries the case's number."""
        case = stored.case
        assert case.msisdn is not None, "the case has a number to send to"
        link = send.link
        if link not in self._long_messages:  # none is given, or that of a held reply is configured no more
            link = self._routing.link_for(case.msisdn, case.operator)
        if link is None:
            return None
        service = self._services[stored.service]
        text = service.templates.render(
            send.text,
            stored.language,
            recipient=name_of(stored.recipient),
            pupil=name_of(stored.pupil),
            link=service.link,
            service=service.code,
            agree=service.replies.agree,
            refuse=service.replies.refuse,
        )
        long_messages = self._long_messages[link]
        return NewSms(
            case_id=stored.case_id,
            kind=send.text,
            repeat=send.repeat,
            link=link,
            msisdn=case.msisdn,
            template=text.template,
            body=text.body,
            fields=text.fields,
            long_messages=long_messages,
            segments=segment_count(text.body, long_messages),
        )

    def screen(self, kind: Kind, language: str, service_code: str) -> Text:
        """The USSD screen of the kind."""
        service = self._services[service_code]
        return service.templates.screen(
            kind, language, service=service_code, agree=service.replies.agree, refuse=service.replies.refuse
        )
