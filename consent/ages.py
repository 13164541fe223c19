"""Ages that the law names, in whole years: declared here and nowhere else. Pure.

From which age a purpose needs no guardian is the purpose's word (`guardian_until_age` in purposes.yml), within these.
"""

from typing import Final

OF_AGE: Final = 18  # 民法典 §17: who may act for others, witness, and give a power of attorney
CHILD_UNTIL: Final = 14  # 个人信息保护法 §31: below it a guardian consents to everything, whatever a purpose says
