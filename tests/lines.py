"""Answers read from a socket that a test holds itself."""

import socket
from http.client import HTTPResponse


def answered(line: socket.socket) -> tuple[int, bool]:
    """Read one whole answer, in however many pieces it comes; give its status and whether the server takes leave."""
    answer = HTTPResponse(line)
    answer.begin()
    answer.read()
    return answer.status, answer.will_close
