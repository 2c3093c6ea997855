"""The demo's script: every kind of family, one after the other.

Days are days of business time. `after` counts from the text that is answered.
"""

from dataclasses import replace

from gateway.demo.roles import Network, Number, Reaction, Role, Script, Text, Wallet

YES = ("3#1", "3#1.", "«3#1»", "3 # 1", "3#1", "(3#1)!")
NO = ("3#2", "3#2.", "3 # 2")
LOOK_ALIKE = ("3№1", "З#1", "3#l", "3♯1", "3#1 иә", "３＃１", "3#1#", "3#І")
UNCLEAR = ("иә", "Бұл кім?", "1", "келісемін", "3*1", "жарайды")

ASKED = ("received", "number_found", "asked")
REPEATED = (*ASKED, "reminded")

AGREES = Script(
    reactions=(Reaction(to=Text.REQUEST, say=YES, after=0.3, hesitation=2),),
    statuses=(*ASKED, "consented", "voucher_issued"),
    texts=(Text.REQUEST, Text.AGREED),
    state="voucher_issued",
)
REFUSES = Script(
    reactions=(Reaction(to=Text.REQUEST, say=NO, after=0.3, hesitation=2),),
    statuses=(*ASKED, "refused"),
    texts=(Text.REQUEST, Text.REFUSED),
    state="refused",
)
SILENT = Script(statuses=(*REPEATED, "no_answer"), texts=(Text.REQUEST, Text.REQUEST), state="no_answer")


def says(*words: str, to: Text = Text.REQUEST, after: float = 0.3, nth: int = 1) -> Reaction:
    return Reaction(to=to, say=words, after=after, nth=nth)


def agrees(*reactions: Reaction, normalised: bool = False) -> Script:
    """Consents to the first request, in another way than most do."""
    return replace(AGREES, reactions=reactions, normalised=normalised)


ROLES = (
    Role(name="mother agrees", families=20, children=(AGREES,)),
    Role(
        name="mother agrees, voucher is used",
        families=10,
        children=(
            replace(
                AGREES, uses_voucher=True, statuses=(*AGREES.statuses, "voucher_activated", "service_received")
            ),
        ),
    ),
    Role(
        name="father agrees: mother has no number",
        families=10,
        children=(AGREES,),
        knows={"mother": Number.NONE, "father": Number.OWN},
        category=2,
    ),
    Role(
        name="father agrees: mother's is foreign",
        families=4,
        children=(AGREES,),
        knows={"mother": Number.FOREIGN, "father": Number.OWN},
    ),
    Role(
        name="orphan's representative agrees",
        families=8,
        children=(AGREES,),
        knows={"representative": Number.OWN},
        category=3,
    ),
    Role(
        name="representative is the last resort",
        families=4,
        children=(AGREES,),
        knows={"mother": Number.NONE, "father": Number.NONE, "representative": Number.OWN},
    ),
    Role(
        name="nobody has a number",
        families=8,
        children=(Script(state="no_number", statuses=("received", "no_number")),),
        knows={"mother": Number.NONE, "father": Number.NONE},
    ),
    Role(
        name="number ported to the other operator", families=4, children=(AGREES,), knows={"mother": Number.PORTED}
    ),
    Role(name="agrees in Russian", families=8, children=(AGREES,), language="ru"),
    Role(name="refuses", families=12, children=(REFUSES,)),
    Role(name="refuses in Russian", families=4, children=(REFUSES,), language="ru"),
    Role(
        name="refuses, then agrees",
        families=4,
        children=(
            replace(
                REFUSES,
                reactions=(*REFUSES.reactions, says("3#1", to=Text.REFUSED, after=1)),
                statuses=(*REFUSES.statuses, "late_reply"),
            ),
        ),
    ),
    Role(
        name="agrees, then refuses",
        families=5,
        children=(
            replace(
                AGREES,
                reactions=(*AGREES.reactions, says("3#2", to=Text.AGREED, after=4)),
                statuses=(*AGREES.statuses, "withdrawal_requested"),
            ),
        ),
    ),
    Role(name="silent", families=12, children=(SILENT,)),
    Role(
        name="answers the repeat",
        families=8,
        children=(
            replace(
                AGREES,
                reactions=(says("3#1", nth=2, after=1),),
                statuses=(*REPEATED, "consented", "voucher_issued"),
                texts=(Text.REQUEST, Text.REQUEST, Text.AGREED),
            ),
        ),
    ),
    Role(
        name="answers after the end",
        families=5,
        children=(
            replace(SILENT, reactions=(says("3#1", nth=2, after=5),), statuses=(*SILENT.statuses, "late_reply")),
        ),
    ),
    Role(
        name="unclear, then clear",
        families=6,
        children=(
            replace(
                agrees(
                    says(*UNCLEAR),
                    says("ок", to=Text.CLARIFY, after=0.2),
                    says("3#1", to=Text.CLARIFY, after=1),
                ),
                texts=(Text.REQUEST, Text.CLARIFY, Text.AGREED),
            ),
        ),
    ),
    Role(
        name="unclear to the last",
        families=5,
        children=(
            replace(
                SILENT,
                reactions=(says(*UNCLEAR), says(*UNCLEAR, nth=2)),
                texts=(Text.REQUEST, Text.CLARIFY, Text.REQUEST, Text.CLARIFY),
            ),
        ),
    ),
    Role(
        name="other service's code, then ours",
        families=4,
        children=(agrees(says("5#1"), says("3#1", after=1.2)),),
    ),
    Role(name="look-alike signs", families=8, children=(agrees(says(*LOOK_ALIKE), normalised=True),)),
    Role(
        name="reply in two segments",
        families=4,
        children=(agrees(Reaction(to=Text.REQUEST, say=("3#1, рахмет",), after=0.3, cut=True), normalised=True),),
    ),
    Role(
        name="reply delivered twice",
        families=4,
        children=(agrees(Reaction(to=Text.REQUEST, say=("3#1",), after=0.3, copies=2)),),
    ),
    Role(
        name="agrees three times",
        families=4,
        children=(agrees(says("3#1"), says("3#1", after=1.2), says("3#1", after=2.1)),),
    ),
    Role(
        name="operator refuses the text",
        families=4,
        children=(Script(state="undeliverable", statuses=("received", "number_found", "undeliverable")),),
        network=Network.REFUSES,
    ),
    Role(
        name="text is never delivered",
        families=4,
        children=(Script(state="undeliverable", statuses=(*REPEATED, "undeliverable")),),
        network=Network.LOSES,
    ),
    Role(name="MCB is down", families=6, children=(AGREES,), mcb_down=True),
    Role(name="wallet is down", families=6, children=(agrees(says(*YES)),), wallet_down=True),
    Role(
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
    Role(name="pupil has a voucher already", families=3, children=(replace(AGREES, wallet=Wallet.HAS_ONE),)),
    Role(name="two siblings, one number", families=6, children=(AGREES, AGREES)),
    Role(name="three siblings, one is refused", families=2, children=(AGREES, REFUSES, AGREES)),
    Role(
        name="SDU cancels",
        families=3,
        children=(
            Script(state="cancelled", statuses=(*ASKED, "cancelled"), texts=(Text.REQUEST,), cancelled=True),
        ),
    ),
    Role(
        name="pupil stands twice in the list",
        families=2,
        children=(AGREES, Script(state="duplicate")),
        one_pupil=True,
    ),
    Role(name="IIN with a wrong digit", families=3, children=(Script(state="rejected"),)),
)
