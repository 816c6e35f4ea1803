# SPDX-License-Identifier: Apache-2.0
"""Asks what may crash or hang, such as imports of compiled code, in processes of their own."""

import json
import subprocess
import sys
from typing import Any

TIMEOUT = 30.0
"""Seconds a question may take: the first import of torch from a slow disk is the longest."""


class ProbeFailed(RuntimeError):
    """A question that got no answer; the message is its last line of output, or how it ended."""


def ask_python(code: str, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Run Python code that fills a dict `answer`; the dict.

    Raises:
        ProbeFailed: it raised, crashed or did not end.
    """
    script = f"import json\nanswer = {{}}\n{code}\nprint('\\n' + json.dumps(answer))"
    output = ask([sys.executable, "-c", script], timeout)
    return json.loads(output.splitlines()[-1])


def ask(command: list[str], timeout: float = TIMEOUT) -> str:
    """What a command prints.

    Raises:
        ProbeFailed: it failed or did not end.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeFailed(f"no answer within {timeout:.0f} s") from error
    except OSError as error:
        raise ProbeFailed(f"{command[0]}: {error.strerror}") from error
    if done.returncode < 0:
        raise ProbeFailed(f"ended by signal {-done.returncode}")
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ProbeFailed(lines[-1] if lines else f"exit status {done.returncode}")
    return done.stdout
