"""One sample report, written to /tmp/h/report.pdf."""
from tests.integration.test_answer_modes import *
from exchange import reports_api
def test_write(exchange_home):
    consented(exchange_home, items=("SUBSIDY","RATING","SANZI_CONTRACT","ELEC","CREDIT_CHN"), mode=Mode.REPORT, history_months=36, by_register=True)
    held(exchange_home, payloads=[("SUBSIDY", PAID), ("RATING", EXPIRED), ("SANZI_CONTRACT", {"contract_no":"HT-1","end_on":"2027-01-31","annual_fee":120000,"area":1230000,"arrears":0}),("CREDIT_CHN",{"item_kind":"行政处罚","repaired":False,"matter":"超载放牧"})])
    out,_=asked(exchange_home, Mode.SUMMARY)
    out,_=asked(exchange_home, Mode.REPORT)
    open("/tmp/h/report.pdf","wb").write(reports_api.printed(exchange_home,out,None))
    open("/tmp/h/report.json","wb").write(out.body)
