"""What can be wrong with a source that is asked for data: names, causes and mends, in Chinese and English.

Names stand in tables and in answers to agencies; a name is never used again for something else. What is wrong with
rows and batches stands in `connectors.codes`.
"""

from dataclasses import dataclass

from connectors.codes import Words


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: why, and what to do about it."""

    name: str
    cause: Words
    mend: Words


def _fault(name: str, cause: tuple[str, str], mend: tuple[str, str]) -> Fault:
    return Fault(name, Words(*cause), Words(*mend))


_LATER = ("稍后自动重试", "it is tried again by itself")
_AGENCY = ("请数据源单位修正接口", "the agency must mend its interface")
_FEED = ("请核对接入配置", "correct the feed's declaration")

REGISTER: tuple[Fault, ...] = (
    # the source does not answer: again later
    _fault("NOT_REACHED", ("连接不上数据源", "The source cannot be reached"), _LATER),
    _fault("NO_ANSWER_IN_TIME", ("数据源未在时限内应答", "The source did not answer in time"), _LATER),
    _fault("SERVER_FAILED", ("数据源报告内部错误", "The source reports a failure of its own"), _LATER),
    _fault("TOO_MANY_REQUESTS", ("数据源要求放慢请求", "The source asks to be asked less often"), _LATER),
    _fault("CUT_OFF", ("传输中途断开，内容不完整", "The answer broke off before its end"), _LATER),
    _fault("CHANGED_WHILE_READ", ("读取期间文件有变动", "The file changed while it was read"), _LATER),
    # the source answers wrongly
    _fault(
        "CREDENTIAL_MISSING",
        ("尚未保存该接入的凭据", "No credential is kept for this feed"),
        ("执行 qingqiao feed credential 名称", "run: qingqiao feed credential NAME"),
    ),
    _fault(
        "CREDENTIAL_REFUSED",
        ("数据源不接受凭据", "The source does not accept the credential"),
        ("核对账号权限，或更换凭据", "check the account's rights, or set the credential anew"),
    ),
    _fault(
        "HOST_KEY_MISMATCH",
        ("服务器主机密钥与登记的不一致", "The server's host key is not the one declared"),
        ("向对方核实后再更新 host_key，切勿直接改用新密钥", "ask the agency before declaring the new key"),
    ),
    _fault(
        "CERTIFICATE_REFUSED",
        ("服务器证书不可信", "The server's certificate is not trusted"),
        ("核对证书或 ca 配置", "check the certificate, or the feed's ca"),
    ),
    _fault(
        "TLS_MISSING",
        (
            "数据源不支持所要求的加密连接（TLS 1.2 以上）",
            "The source does not speak the TLS asked for (1.2 on)",
        ),
        ("请数据源单位启用 TLS，或核对地址与端口", "the agency must offer TLS; check address and port"),
    ),
    _fault("NOT_FOUND", ("接口、视图或目录不存在", "No such address, view or folder"), _FEED),
    _fault("REQUEST_REFUSED", ("数据源拒绝了请求", "The source refuses the request"), _FEED),
    _fault("REDIRECTED", ("数据源要求转到别的地址", "The source points to another address"), _FEED),
    _fault("ANSWER_MALFORMED", ("应答不是约定的 JSON", "The answer is not the JSON agreed on"), _AGENCY),
    _fault("ROWS_MISSING", ("应答中没有约定的数据数组", "The answer has no list of rows where declared"), _AGENCY),
    _fault("VALUE_NESTED", ("数据项不是单一取值", "A value is a list or an object"), _AGENCY),
    _fault(
        "SCHEMA_CHANGED",
        ("列与登记的不一致（缺列或多列）", "Columns differ from those declared: one is gone or new"),
        ("与数据源单位核实后更新接入配置的 columns", "ask the agency, then change the feed's columns"),
    ),
    _fault("PAGE_REPEATED", ("分页重复：同一页或同一行出现两次", "A page or a row came twice"), _AGENCY),
    _fault("PAGE_WRONG", ("返回的页码不是所请求的", "Another page came than was asked for"), _AGENCY),
    _fault("PAGE_ELSEWHERE", ("下一页指向别的服务器", "The next page is on another server"), _AGENCY),
    _fault("WATERMARK_MISSING", ("行内没有可用的变更时间", "A row has no usable time of change"), _AGENCY),
    _fault("NAME_REFUSED", ("文件名不安全", "A file's name is not safe"), ("请更名后重新放置", "rename the file")),
    _fault("NO_PLAIN_FILE", ("不是普通文件（链接或设备）", "It is a link or a device, no plain file"), _AGENCY),
    _fault(
        "ANSWERS_FOR_OTHERS",
        ("返回了未请求的人员", "It answered about people who were not asked for"),
        ("请数据源单位只返回所请求人员；多返回的一律不收", "it must answer about those asked for only"),
    ),
    # more than the feed allows
    _fault("TOO_LONG", ("超过接入配置的时限", "Longer than limits.seconds"), _FEED),
    _fault("TOO_MANY_BYTES", ("超过接入配置的字节上限", "More than limits.bytes"), _FEED),
    _fault("TOO_MANY_ROWS", ("超过接入配置的行数上限", "More than limits.rows"), _FEED),
)

BY_NAME: dict[str, Fault] = {fault.name: fault for fault in REGISTER}
