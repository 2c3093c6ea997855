"""Habits of SMSCs in the field that a simulated one can take on (docs/smsc-habits.md)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.simulators.codec import status_number
from gateway.simulators.receipts import RECEIPT, STATES
from gateway.simulators.settings import with_words

RECEIPT_TEXT = (
    "id:{id} sub:001 dlvrd:{dlvrd} submit date:{date} done date:{date} stat:{stat} err:{err} text:{text}"
)
"""The text of a receipt by SMPP 3.4 appendix B."""
CLOSE_AT = ("", "connect", "bind", "bound", "submit")
RECEIPTS_PER = ("segment", "first", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What an SMSC does otherwise than the specification or than other SMSCs; by default nothing.

    ValueError on a value that does not exist.
    """

    service_time: float = 0.0
    """Seconds for each submit_sm, one after the other in a session; all its responses leave in that order."""
    stall_every: int = 0
    """Every so many submit_sm of a session the service takes `stall_seconds` longer."""
    stall_seconds: float = 30.0
    one_pdu_per_read: bool = False
    """One PDU is read for each read of the socket; the others of the same read wait for the next one."""
    hold_until_whole: bool = False
    """The responses to a text's segments are sent when all its segments have come."""
    bind_sequence: int = 0
    """sequence_number of the bind's response; 0: that of the bind."""
    close_at: str = ""
    """The point at which the SMSC closes the connection: `connect`, `bind` (no response), `bound` or `submit` (the
    first).
    """
    unbound_after: int = 0
    """After so many submit_sm of a session its submit_sm get ESME_RINVBNDSTS, while enquire_link works."""
    enquire_status: str = "ROK"
    """command_status of enquire_link_resp."""
    refuse_all: str = ""
    """command_status of every submit_sm, whatever its number: `RSUBMITFAIL`, `0x401`."""
    refuse_seconds: float = 0.0
    """The time of refusals from the first one on; 0: until the habit is removed."""
    window: int = 0
    """Segments under way in a session, beyond which others are refused at once; 0: any number."""
    window_status: str = "RMSGQFUL"
    """The command_status of segments beyond the window."""
    on_transmitter: bool = False
    """Receipts and replies are delivered on a transmitter, where one is bound."""
    nul_terminated: bool = False
    """A NUL ends short_message and message_payload of each delivery, and counts in their length."""
    mo_after_bind: str = ""
    """`NUMBER TEXT` of a message that is delivered right after each bind."""
    echo_every: int = 0
    """Every so many submit_sm come back as deliver_sm, UDH included, with esm_class 0."""
    unbind_every: int = 0
    """Every so many deliveries have an unbind in the same write; unbind_resp closes the connection."""
    receipts_per: str = "segment"
    """`first`: only the registered_delivery of a text's first segment counts; `text`: one for a joined text,
    with the message_id of its first segment."""
    receipts_to_handset: bool = False
    """Receipts have the addresses of the submit_sm: from the short code to the handset."""
    receipt_text: str = RECEIPT_TEXT
    """The text of a receipt, with {id}, {dlvrd}, {date}, {stat}, {err}, {text}."""
    receipt_states: str = ""
    """Vendor's words and numbers: `undeliverable:FAILED:9,delivered:RECEIVED`."""
    receipt_esm_class: int = RECEIPT
    receipt_udh: bool = False
    """{text} is the begin of the segment's octets, its UDH included."""
    receipt_ucs2: bool = False

    def __post_init__(self) -> None:
        if self.close_at not in CLOSE_AT:
            raise ValueError(f"close_at={self.close_at}: there are {', '.join(CLOSE_AT[1:])}")
        if self.receipts_per not in RECEIPTS_PER:
            raise ValueError(f"receipts_per={self.receipts_per}: there are {', '.join(RECEIPTS_PER)}")
        for status in (self.enquire_status, self.refuse_all or "ROK", self.window_status):
            try:
                status_number(status)
            except AttributeError:
                raise ValueError(f"no such command_status: {status}") from None
        self.receipt_characters("", "delivered", "")

    @classmethod
    def parse(cls, words: str) -> "Habits":
        """Habits from `service_time=0.4 nul_terminated`; ValueError names what is wrong."""
        return NO_HABITS.changed(words)

    def changed(self, words: str) -> "Habits":
        """These habits and those of the words."""
        return with_words(self, words, "the SMSC's habits")

    def receipt_state(self, outcome: str) -> tuple[str, int]:
        """(word, message_state) of an outcome."""
        word, state, _ = STATES[outcome]
        return self._vendor_states().get(outcome, (word, state))

    def receipt_characters(self, message_id: str, outcome: str, date: str, text: str = "") -> str:
        """The text of a receipt; ValueError when `receipt_text` has a field that does not exist."""
        try:
            return self.receipt_text.format(
                id=message_id,
                dlvrd="001" if outcome == "delivered" else "000",
                date=date,
                stat=self.receipt_state(outcome)[0],
                err=STATES[outcome][2],
                text=text,
            )
        except (KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"receipt_text: no such field: {error}") from None

    def _vendor_states(self) -> Mapping[str, tuple[str, int]]:
        states = {}
        for entry in filter(None, self.receipt_states.split(",")):
            outcome, _, vendor = entry.partition(":")
            if outcome not in STATES:
                raise ValueError(f"no such outcome: {outcome}; there are {', '.join(STATES)}")
            word, _, number = vendor.partition(":")
            states[outcome] = (word, int(number) if number else STATES[outcome][1])
        return states


NO_HABITS = Habits()


def habits_from(given: Habits | str | Iterable[str]) -> Habits:
    """The habits, given as Habits or in words."""
    if isinstance(given, Habits):
        return given
    return Habits.parse(given if isinstance(given, str) else " ".join(given))
