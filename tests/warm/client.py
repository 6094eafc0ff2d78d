"""Runs a command in a fork of the warm process, and is to its caller as that command is.

Its streams are the command's own; SIGTERM and SIGINT reach the command, SIGKILL ends it too,
and it ends with the same exit code. Loads nothing but a few modules of the standard library.
"""

import json
import os
import signal
import socket
import sys


def main() -> int:
    path, *words = sys.argv[1:]
    wanted = {"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
    body = json.dumps(wanted).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [len(body).to_bytes(8)], [0, 1, 2])
        server.sendall(body)
        replies = server.makefile()
        pid = int(replies.readline())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda given, _: os.kill(pid, given))
        code = int(replies.readline())
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
