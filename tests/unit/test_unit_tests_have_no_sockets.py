"""The guard of this directory, held to its promise."""

import socket

import httpx
import psycopg
import pytest
from _pytest.outcomes import Failed


def test_no_connection_can_be_opened() -> None:
    with socket.socket() as one, pytest.raises(Failed, match="tests/integration"):
        one.connect(("127.0.0.1", 9))


def test_no_port_can_be_opened() -> None:
    with socket.socket() as one, pytest.raises(Failed, match="tests/integration"):
        one.bind(("127.0.0.1", 0))


def test_no_name_can_be_asked_for() -> None:
    with httpx.Client(trust_env=False) as client, pytest.raises(Failed, match="tests/integration"):
        client.get("http://credit.example.cn/")


def test_no_database_can_be_reached() -> None:
    with pytest.raises(Failed, match="tests/integration"):
        psycopg.connect("postgresql://somewhere/else")
