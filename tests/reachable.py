"""How the organisations of tests are reached: values that belong to nobody."""

from typing import Final

from consent.parties import Contact

CONTACT: Final = Contact(
    office="客户服务部", phone="0971-0000002", address="青海省测试市测试路2号", email="service@bank.example"
)
