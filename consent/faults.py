"""What each fault of a consent means, where it lies, and how it is mended: in Chinese and in English.

`place` is the path of the part, as the lenders' door names it. Nothing here repeats what was sent.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from consent.errors import Fault


class Meaning(NamedTuple):
    """One fault: its place, the cause and the mend."""

    place: str
    zh: str
    en: str
    mend_zh: str
    mend_en: str


MEANINGS: Final[Mapping[Fault, Meaning]] = MappingProxyType(
    {
        Fault.NUMBER_MISSING: Meaning(
            "register_no",
            "缺少授权编号或编号无效，请补正",
            "no register number, or not a valid one; state it",
            "填写授权编号",
            "state the register number",
        ),
        Fault.NUMBER_TWICE: Meaning(
            "register_no",
            "授权编号在本表中重复，以首行为准",
            "stands twice in this table; the first row counts",
            "删除重复行，或另编新号",
            "remove the second row, or give it a number of its own",
        ),
        Fault.NUMBER_REUSED: Meaning(
            "register_no",
            "该编号已用于另一主体、机构或用途，请另编新号",
            "the number already names another subject, recipient or purpose; give a new number",
            "另编新号",
            "give a new number",
        ),
        Fault.SUBJECT_TYPE_UNKNOWN: Meaning(
            "subject.type",
            "主体类型无法识别",
            "the kind of subject is not known",
            "填写农牧户、个人或组织",
            "state household, person or organisation",
        ),
        Fault.IDENTITY_INVALID: Meaning(
            "subject.identifier",
            "证件号码或统一社会信用代码校验不通过",
            "the identifier does not pass its checks",
            "核对证件后重新填写",
            "correct the identifier from the document",
        ),
        Fault.GUARDIAN_NEEDED: Meaning(
            "representation",
            "未达到该目的要求的年龄，须由监护人同意",
            "under the age that this purpose asks for: a guardian has to consent",
            "由监护人办理，并提交监护关系证明",
            "let a guardian act, with proof of guardianship",
        ),
        Fault.RECIPIENT_NOT_ONE: Meaning(
            "recipient",
            "被授权机构须且只能为一家",
            "exactly one recipient has to be named",
            "每家机构分别授权",
            "take one consent for each recipient",
        ),
        Fault.RECIPIENT_WITHOUT_CONTACT: Meaning(
            "recipient",
            "被授权机构的联系方式未登记，不能请人授权",
            "it is not registered how the recipient is reached, so nobody can be asked to agree",
            "请平台运营单位用 qingqiao lender contact 登记部门、电话和地址",
            "have the operator register office, phone and address: qingqiao lender contact",
        ),
        Fault.PURPOSE_UNKNOWN: Meaning(
            "purpose",
            "用途代码无效",
            "no such purpose",
            "使用已公布的用途代码",
            "use a published purpose",
        ),
        Fault.ITEM_UNKNOWN: Meaning(
            "items",
            "数据项不在目录中",
            "an item that the catalogue does not have",
            "见 /v1/catalogue",
            "see /v1/catalogue",
        ),
        Fault.ITEM_OUTSIDE_PURPOSE: Meaning(
            "items",
            "数据项超出该用途的范围",
            "an item that the purpose may not touch",
            "删去该数据项，或另就适用的用途征得同意",
            "leave the item out, or take a consent for a purpose that may touch it",
        ),
        Fault.DATE_UNREADABLE: Meaning(
            "valid_from",
            "日期缺失或无法识别",
            "a date is missing or cannot be read",
            "按“2026-01-10”的格式填写日期",
            "write dates as 2026-01-10",
        ),
        Fault.TAKEN_OUT_OF_TIME: Meaning(
            "captured_at",
            "征得同意的时间在将来，或距今过久",
            "taken in the future, or too many days ago",
            "核对时间；过久的，请本人重新同意",
            "correct the moment; if it is too long ago, ask the person again",
        ),
        Fault.PERIOD_INVERTED: Meaning(
            "valid_to",
            "失效日期早于生效日期",
            "the last day is before the first",
            "改正起止日期",
            "correct the dates",
        ),
        Fault.BEGINS_TOO_LATE: Meaning(
            "valid_from",
            "生效日期距征得同意之日过久",
            "begins too many days after it was taken",
            "改用较近的生效日期，或临近生效时再征得同意",
            "let it begin sooner, or take it nearer to the day on which it begins",
        ),
        Fault.VALIDITY_TOO_LONG: Meaning(
            "valid_to",
            "有效期超过该用途的上限",
            "valid for longer than the purpose allows",
            "缩短有效期",
            "state an earlier last day",
        ),
        Fault.HISTORY_TOO_LONG: Meaning(
            "history_months",
            "追溯期超过该用途的上限",
            "reaches further back than the purpose allows",
            "减少追溯月数",
            "state fewer months",
        ),
        Fault.TOO_MANY_USES: Meaning(
            "max_uses",
            "查询次数超过该用途的上限",
            "more uses than the purpose allows",
            "减少查询次数",
            "state fewer uses",
        ),
        Fault.TOO_MANY_USES_PER_MONTH: Meaning(
            "uses_per_month",
            "每月查询次数超过该用途的上限",
            "more uses a month than the purpose allows",
            "减少每月查询次数",
            "state fewer uses a month",
        ),
        Fault.DATA_LIFE_TOO_LONG: Meaning(
            "data_life_days",
            "留存天数超过该用途的上限",
            "kept for longer than the purpose allows",
            "缩短留存天数",
            "state fewer days",
        ),
        Fault.MODE_TOO_HIGH: Meaning(
            "mode",
            "答复方式超过该用途的上限",
            "a higher answer mode than the purpose allows",
            "改用更低的答复方式",
            "state a lower mode",
        ),
        Fault.STATE_UNKNOWN: Meaning(
            "state",
            "状态无法识别",
            "the state is not known",
            "填写有效、暂停、已撤回或已到期",
            "state active, paused, withdrawn or expired",
        ),
        Fault.ACKNOWLEDGEMENT_UNREADABLE: Meaning(
            "adverse_consequences_acknowledged",
            "不良后果告知须为“是”或“否”",
            "the acknowledgement has to be yes or no",
            "填写“是”或“否”",
            "state yes or no",
        ),
        Fault.ACKNOWLEDGEMENT_NOT_WRITTEN: Meaning(
            "evidence.kind",
            "不良后果告知须以书面或可靠电子签名确认",
            "adverse consequences have to be acknowledged in writing or by a reliable electronic signature",
            "取得本人书面签署或可靠电子签名",
            "take the acknowledgement on paper, or by a reliable electronic signature",
        ),
        Fault.TEXT_UNKNOWN: Meaning(
            "text_version",
            "缺少授权文本版本，或没有该版本、该语言的授权文本",
            "the version of the text agreed to is missing, or there is no such text in this language",
            "使用已发布的授权文本",
            "use a published text",
        ),
        Fault.ITEM_NOT_IN_TEXT: Meaning(
            "items",
            "数据项未列入所用授权文本，请改用列明该项的文本版本，重新征得同意",
            "an item that the text agreed to does not name; take a consent on a text that names it",
            "改用列明该项的文本版本，重新征得同意",
            "take a consent on a text that names it",
        ),
        Fault.LANGUAGE_UNKNOWN: Meaning(
            "text_language",
            "语言无法识别",
            "the language is not known",
            "填写 zh、bo、mn 或 en",
            "state zh, bo, mn or en",
        ),
        Fault.CHANNEL_UNKNOWN: Meaning(
            "channel",
            "渠道无法识别",
            "the channel is not known",
            "填写柜面、村点等已列渠道",
            "state one of the listed channels",
        ),
        Fault.EVIDENCE_MISSING: Meaning(
            "evidence.sha256",
            "生效的授权须有证据文件哈希",
            "a consent in force needs the hash of its evidence",
            "提交证据文件的SHA-256",
            "hand in the SHA-256 of the evidence",
        ),
        Fault.EVIDENCE_INVALID: Meaning(
            "evidence.sha256",
            "证据文件哈希不是有效的SHA-256",
            "the evidence hash is not a valid SHA-256",
            "对证据文件重新计算SHA-256",
            "compute the SHA-256 of the evidence again",
        ),
        Fault.EVIDENCE_REUSED: Meaning(
            "evidence.sha256",
            "该证据已用于同一用途、另一主体或已终止的授权，请提供新证据",
            "the evidence already stands under a consent: of the same purpose, of somebody else, or one that ended",
            "取得新的签署并提交其SHA-256",
            "take a new signature and hand in its hash",
        ),
        Fault.PAPER_NEEDS_FOUR_EYES: Meaning(
            "evidence.kind",
            "纸质授权须经两人核对，不能在此直接登记",
            "paper is looked at by two people, and is not recorded here",
            "请在 POST /v1/paper-consents 录入，由另一人确认；再次确认只收电子签名，或另签新的纸质授权",
            "enter it at POST /v1/paper-consents, and let another person confirm it; a consent is confirmed again by an"
            " electronic signature, or by a new consent on paper",
        ),
        Fault.FINGERPRINTS_NOT_REDACTED: Meaning(
            "evidence.fingerprints_redacted",
            "未声明纸质扫描件的指纹区域已遮盖",
            "it is not stated that the fingerprint area of the scan was blacked out",
            "复制、上传前遮盖指纹区域，并作此声明",
            "black out the fingerprint area before any copy is made, and state that it was done",
        ),
        Fault.RESOLUTION_MISSING: Meaning(
            "representation.resolution",
            "组织的授权须有成员会议决议作为证据",
            "a collective consents by a resolution of its meeting; hand in its minutes",
            "提交会议决议的类型、人数、表决、公示和纪要SHA-256",
            "state meeting, numbers, votes, publicity and the SHA-256 of the minutes",
        ),
        Fault.BEFORE_WITHDRAWAL: Meaning(
            "captured_at",
            "签署或生效早于最近一次撤回（只知签署日期的，不晚于撤回之日）",
            "agreed to, or to begin, before the last withdrawal for the same recipient and purpose; if only the day is"
            " known, not after its day",
            "撤回之后请本人重新同意，如实填写征得同意的时间",
            "ask the person anew, after the withdrawal, and state when it was taken",
        ),
        Fault.BEFORE_REDUCTION: Meaning(
            "captured_at",
            "签署早于本人最近一次暂停或缩小同一授权（只知签署日期的，不晚于当日）",
            "agreed to before the person last paused or narrowed a consent for the same recipient and purpose; if only"
            " the day is known, not after its day",
            "请本人恢复授权，或重新同意，并如实填写征得同意的时间",
            "let the person resume, or ask it anew, and state when that was taken",
        ),
        Fault.TERMS_CHANGED: Meaning(
            "items",
            "已同意的授权内容不得更改，请以新编号重新授权",
            "the terms of a consent that was given do not change; take a new consent under a new number",
            "以新编号重新授权",
            "take a new consent under a new number",
        ),
        Fault.TRANSITION_REFUSED: Meaning(
            "state",
            "该授权不能从现有状态变为表中状态",
            "the consent cannot go from its state to the one in the table",
            "以平台状态为准，或重新授权",
            "leave the state as it is, or take a new consent",
        ),
        Fault.PURPOSE_NOT_FOR_LENDERS: Meaning(
            "purpose",
            "该用途不适用于贷款机构",
            "a purpose that lenders may not use",
            "使用贷款机构可用的用途",
            "use a purpose that lenders may use",
        ),
        Fault.SENSITIVE_NOT_AGREED: Meaning(
            "sensitive_agreed",
            "含敏感信息（账户、救助身份，或未成年人信息），未取得单独同意",
            "sensitive items (accounts, assistance, or anything of a child) without an agreement of their own",
            "请本人（监护人）就敏感信息单独勾选并签署",
            "let the person (the guardian) agree to them in an act of its own",
        ),
        Fault.SENSITIVE_BY_PROXY: Meaning(
            "items",
            "敏感信息不得由代理人同意",
            "sensitive items are not a proxy's to agree to",
            "删去敏感项，或由本人办理",
            "leave them out, or let the person agree",
        ),
        Fault.REPRESENTATION_INVALID: Meaning(
            "representation",
            "代办信息不完整或与主体类型不符",
            "who acted is not stated in full, or cannot act for such a subject",
            "补正代办人、关系和证明文件",
            "state who acted, the relation and the document",
        ),
        Fault.REPRESENTATION_OVER: Meaning(
            "representation.until",
            "生效之日，监护、委托或决议的期限已过",
            "guardianship, power or resolution has ended when the consent would begin",
            "由现有权办理的人重新办理；已成年的由本人办理",
            "let somebody act who still may; who has come of age acts alone",
        ),
        Fault.GUARDIANSHIP_UNPROVEN: Meaning(
            "representation.document_sha256",
            "监护关系没有证明，或所列关系不能担任监护人",
            "the guardianship is not proved, or the relation is none that can be a guardian's",
            "提交户口簿、出生证明或指定监护文书的SHA-256",
            "hand in the SHA-256 of the household register, birth certificate or appointment",
        ),
        Fault.GUARDIAN_NOT_NEEDED: Meaning(
            "representation",
            "本人已有相应行为能力，应由本人同意",
            "the person is of age for this and consents alone",
            "由本人办理；成年人被监护的，提交指定监护文书",
            "let the person consent; for an adult ward hand in the appointment",
        ),
        Fault.POWER_OF_ATTORNEY_MISSING: Meaning(
            "representation.document_sha256",
            "代理他人须有授权委托书及其截止日期；户主不当然代表其他成年家庭成员",
            "who acts for another adult needs a power of attorney with its last day; a head of household too",
            "提交委托书的SHA-256和截止日期，或由本人办理",
            "hand in the SHA-256 of the power and its last day, or let the person consent",
        ),
        Fault.REPRESENTATIVE_UNFIT: Meaning(
            "representation.identifier",
            "代办人不能是本人、未成年人，也不能是被授权机构的采集人",
            "whoever acts cannot be the subject itself, a minor, or somebody who collects for the recipient",
            "由适格的人办理",
            "let somebody act who may",
        ),
        Fault.SUBJECT_UNAVAILABLE: Meaning(  # of the dead, without telling whoever asks that they died
            "subject",
            "目前不能为该主体（或代办人）办理授权",
            "no consent can be recorded for this subject, or by whoever acts, at present",
            "请与平台运营机构联系",
            "ask the operator",
        ),
        Fault.COLLECTIVE_FOR_MEMBER: Meaning(
            "items",
            "集体不能代成员同意提供个人信息",
            "a collective cannot consent for its members' personal data",
            "删去个人信息项，由成员本人分别同意",
            "leave items about persons out; each member consents alone",
        ),
        Fault.RESOLUTION_INVALID: Meaning(
            "representation.resolution",
            "决议的人数、票数、日期、任期或纪要不相符",
            "numbers, votes, dates, term or minutes of the resolution do not agree",
            "按会议纪要补正",
            "correct them from the minutes",
        ),
        Fault.QUORUM_MISSED: Meaning(
            "representation.resolution.present",
            "到会人数不足三分之二，或成员代表人数不足",
            "fewer than two thirds took part, or there are too few representatives",
            "依法重新召开会议",
            "hold the meeting again as the law wants it",
        ),
        Fault.VOTES_MISSED: Meaning(
            "representation.resolution.votes_for",
            "同意票不足全体应到人数的三分之二",
            "fewer than two thirds of all entitled agreed",
            "依法重新表决",
            "put it to the vote again",
        ),
        Fault.PUBLICITY_TOO_SHORT: Meaning(
            "representation.resolution.publicity_to",
            "公示期不足",
            "made public for too few days",
            "延长公示",
            "make it public for longer",
        ),
        Fault.PUBLICITY_NOT_OVER: Meaning(
            "valid_from",
            "公示期满之后授权方可生效",
            "the consent would begin before its publicity is over",
            "把生效日期改为公示期满之后",
            "let it begin after the last day of publicity",
        ),
        Fault.REFUSED_LATELY: Meaning(
            "subject",
            "本人不久前已拒绝同一请求，冷静期内不得再次征询",
            "the person has lately refused the same request and may not be asked again yet",
            "冷静期满后再征询；本人主动到场要求的，由登记采集人受理并注明 asked_by: subject",
            "ask after the cool-down; for a person who came of its own will state asked_by: subject and the collector",
        ),
        Fault.CONFIRMED_TOO_EARLY: Meaning(
            "captured_at",
            "签署时间早于授权、上一次确认或最近一次撤回",
            "it was signed before the consent, its last confirmation, or a withdrawal",
            "请本人重新签署确认，并填写实际签署时间",
            "let the person sign a new confirmation, and state when that was",
        ),
        Fault.CONFIRMATION_OVER: Meaning(
            "captured_at",
            "该确认签署过早，自签署之日起算的确认期已满",
            "it was signed so long ago that the time for which it confirms is over",
            "请本人重新签署确认",
            "let the person sign a new confirmation",
        ),
        Fault.NOT_NARROWER: Meaning(
            "items",
            "内容扩大或没有变化；扩大须重新征得同意",
            "it would be wider, or nothing would change; what is wider needs a new consent",
            "只减少数据项、次数、期限或答复方式",
            "take away items, uses, time or mode only",
        ),
    }
)
