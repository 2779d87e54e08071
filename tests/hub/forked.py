"""`python forked.py`: runs `vpdata` with the arguments of each line of stdin (JSON) in a child that may be killed.

Prints the child's number when it begins, and its exit status when it is gone; its own output goes to stderr. Commits
and requests are small, so that there are many moments to be killed at.
"""

import json
import os
import sys

from vpdata.cli.app import app
from vpdata.hub import plan, publish, pull  # noqa: F401  imported once for all children

plan.COMMIT_FILES = 3
pull.CHUNK_BYTES = 50_000

for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        try:
            app(json.loads(line))
        except SystemExit as stop:
            os._exit(int(stop.code or 0))
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
