"""The kinds of families in the demo, each with its scenarios.

Days are days of business time. `after` counts from the text that is replied to.
"""

from dataclasses import replace

from gateway.demo.model import Delivery, FamilyKind, Number, Scenario, ScriptedReply, Text, Wallet

YES = ("3#1", "3#1.", "«3#1»", "3 # 1", "3#1", "(3#1)!")
NO = ("3#2", "3#2.", "3 # 2")
LOOK_ALIKE = ("3№1", "З#1", "3#l", "3♯1", "3#1 иә", "３＃１", "3#1#", "3#І")
UNCLEAR = ("иә", "Бұл кім?", "1", "келісемін", "3*1", "жарайды")

ASKED = ("received", "number_found", "asked")
REPEATED = (*ASKED, "reminded")

AGREES = Scenario(
    replies=(ScriptedReply(to=Text.REQUEST, texts=YES, after=0.3, spread=2),),
    statuses=(*ASKED, "consented", "voucher_issued"),
    texts=(Text.REQUEST, Text.AGREED),
    state="voucher_issued",
)
REFUSES = Scenario(
    replies=(ScriptedReply(to=Text.REQUEST, texts=NO, after=0.3, spread=2),),
    statuses=(*ASKED, "refused"),
    texts=(Text.REQUEST, Text.REFUSED),
    state="refused",
)
SILENT = Scenario(statuses=(*REPEATED, "no_answer"), texts=(Text.REQUEST, Text.REQUEST), state="no_answer")


def reply(*texts: str, to: Text = Text.REQUEST, after: float = 0.3, nth: int = 1) -> ScriptedReply:
    return ScriptedReply(to=to, texts=texts, after=after, nth=nth)


def agrees(*replies: ScriptedReply, normalised: bool = False) -> Scenario:
    """Consents to the first request, with other replies than AGREES."""
    return replace(AGREES, replies=replies, normalised=normalised)


KINDS = (
    FamilyKind(name="mother agrees", families=20, children=(AGREES,)),
    FamilyKind(
        name="mother agrees, voucher is used",
        families=10,
        children=(
            replace(
                AGREES, uses_voucher=True, statuses=(*AGREES.statuses, "voucher_activated", "service_received")
            ),
        ),
    ),
    FamilyKind(
        name="father agrees: mother has no number",
        families=10,
        children=(AGREES,),
        numbers={"mother": Number.NONE, "father": Number.OWN},
        category=2,
    ),
    FamilyKind(
        name="father agrees: mother's is foreign",
        families=4,
        children=(AGREES,),
        numbers={"mother": Number.FOREIGN, "father": Number.OWN},
    ),
    FamilyKind(
        name="orphan's representative agrees",
        families=8,
        children=(AGREES,),
        numbers={"representative": Number.OWN},
        category=3,
    ),
    FamilyKind(
        name="only the representative has a number",
        families=4,
        children=(AGREES,),
        numbers={"mother": Number.NONE, "father": Number.NONE, "representative": Number.OWN},
    ),
    FamilyKind(
        name="nobody has a number",
        families=8,
        children=(Scenario(state="no_number", statuses=("received", "no_number")),),
        numbers={"mother": Number.NONE, "father": Number.NONE},
    ),
    FamilyKind(
        name="number ported to the other operator",
        families=4,
        children=(AGREES,),
        numbers={"mother": Number.PORTED},
    ),
    FamilyKind(name="agrees in Russian", families=8, children=(AGREES,), language="ru"),
    FamilyKind(name="refuses", families=12, children=(REFUSES,)),
    FamilyKind(name="refuses in Russian", families=4, children=(REFUSES,), language="ru"),
    FamilyKind(
        name="refuses, then agrees",
        families=4,
        children=(
            replace(
                REFUSES,
                replies=(*REFUSES.replies, reply("3#1", to=Text.REFUSED, after=1)),
                statuses=(*REFUSES.statuses, "late_reply"),
            ),
        ),
    ),
    FamilyKind(
        name="agrees, then refuses",
        families=5,
        children=(
            replace(
                AGREES,
                replies=(*AGREES.replies, reply("3#2", to=Text.AGREED, after=4)),
                statuses=(*AGREES.statuses, "withdrawal_requested"),
            ),
        ),
    ),
    FamilyKind(name="no reply", families=12, children=(SILENT,)),
    FamilyKind(
        name="replies to the repeat",
        families=8,
        children=(
            replace(
                AGREES,
                replies=(reply("3#1", nth=2, after=1),),
                statuses=(*REPEATED, "consented", "voucher_issued"),
                texts=(Text.REQUEST, Text.REQUEST, Text.AGREED),
            ),
        ),
    ),
    FamilyKind(
        name="replies after the end",
        families=5,
        children=(
            replace(SILENT, replies=(reply("3#1", nth=2, after=5),), statuses=(*SILENT.statuses, "late_reply")),
        ),
    ),
    FamilyKind(
        name="unclear, then clear",
        families=6,
        children=(
            replace(
                agrees(
                    reply(*UNCLEAR),
                    reply("ок", to=Text.CLARIFY, after=0.2),
                    reply("3#1", to=Text.CLARIFY, after=1),
                ),
                texts=(Text.REQUEST, Text.CLARIFY, Text.AGREED),
            ),
        ),
    ),
    FamilyKind(
        name="unclear every time",
        families=5,
        children=(
            replace(
                SILENT,
                replies=(reply(*UNCLEAR), reply(*UNCLEAR, nth=2)),
                texts=(Text.REQUEST, Text.CLARIFY, Text.REQUEST, Text.CLARIFY),
            ),
        ),
    ),
    FamilyKind(
        name="other service's code, then ours",
        families=4,
        children=(agrees(reply("5#1"), reply("3#1", after=1.2)),),
    ),
    FamilyKind(name="look-alike characters", families=8, children=(agrees(reply(*LOOK_ALIKE), normalised=True),)),
    FamilyKind(
        name="reply in two segments",
        families=4,
        children=(
            agrees(
                ScriptedReply(to=Text.REQUEST, texts=("3#1, рахмет",), after=0.3, in_two_segments=True),
                normalised=True,
            ),
        ),
    ),
    FamilyKind(
        name="reply delivered twice",
        families=4,
        children=(agrees(ScriptedReply(to=Text.REQUEST, texts=("3#1",), after=0.3, copies=2)),),
    ),
    FamilyKind(
        name="agrees three times",
        families=4,
        children=(agrees(reply("3#1"), reply("3#1", after=1.2), reply("3#1", after=2.1)),),
    ),
    FamilyKind(
        name="operator refuses the text",
        families=4,
        children=(Scenario(state="undeliverable", statuses=("received", "number_found", "undeliverable")),),
        delivery=Delivery.REFUSED,
    ),
    FamilyKind(
        name="text is never delivered",
        families=4,
        children=(Scenario(state="undeliverable", statuses=(*REPEATED, "undeliverable")),),
        delivery=Delivery.LOST,
    ),
    FamilyKind(name="MCB is down", families=6, children=(AGREES,), mcb_down=True),
    FamilyKind(name="wallet is down", families=6, children=(agrees(reply(*YES)),), wallet_down=True),
    FamilyKind(
        name="wallet refuses the voucher",
        families=4,
        children=(
            replace(
                AGREES,
                state="voucher_rejected",
                statuses=(*ASKED, "consented", "voucher_rejected"),
                wallet=Wallet.REFUSES,
            ),
        ),
    ),
    FamilyKind(name="pupil has a voucher already", families=3, children=(replace(AGREES, wallet=Wallet.HAS_ONE),)),
    FamilyKind(name="two siblings, one number", families=6, children=(AGREES, AGREES)),
    FamilyKind(name="three siblings, one is refused", families=2, children=(AGREES, REFUSES, AGREES)),
    FamilyKind(
        name="SDU cancels",
        families=3,
        children=(
            Scenario(state="cancelled", statuses=(*ASKED, "cancelled"), texts=(Text.REQUEST,), cancelled=True),
        ),
    ),
    FamilyKind(
        name="pupil is twice in the list",
        families=2,
        children=(AGREES, Scenario(state="duplicate")),
        one_pupil=True,
    ),
    FamilyKind(name="wrong IIN check digit", families=3, children=(Scenario(state="rejected"),)),
)


def visitor(language: str) -> FamilyKind:
    """A family whose telephone is in the visitor's hands: nobody replies by itself."""
    return FamilyKind(name="visitor", families=1, children=(Scenario(state=""),), language=language)
