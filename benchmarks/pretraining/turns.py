"""Contenders as processes that take turns, so that what else happens on a machine meets them all alike."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

STEP = "step\n"


class Contender:
    """A measurement in a process of its own. Where it waits after its steps, it runs to the end of its first one, and then
    a step at a time; else to its end at once. `result` is None until then."""

    def __init__(self, command: list[str]) -> None:
        self.complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.complaints, text=True)
        self.result = None
        self._listen()

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self._listen()

    def _listen(self) -> None:
        line = self.process.stdout.readline()
        if line != STEP:
            self.process.communicate()
            self.result = json.loads(line) if line else {"error": self._last_words()}

    def _last_words(self) -> str:
        self.complaints.seek(0)
        lines = self.complaints.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"


def measured_in_turns(commands: dict[str, list[str]]) -> dict[str, dict]:
    """What each command's process answers, or {"error": its last words}."""
    contenders = {name: Contender(command) for name, command in commands.items()}
    while waiting := [contender for contender in contenders.values() if contender.result is None]:
        for contender in waiting:
            contender.go_on()
    return {name: contender.result for name, contender in contenders.items()}


def answering() -> tuple[Callable[[], None], Callable[[dict], None]]:
    """In a contender's process: what to call after a step to wait for the next turn, and what to give the result to. All
    else that is printed goes to standard error from now on."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(line: str) -> None:
        answer.write(line)
        answer.flush()

    def wait() -> None:
        say(STEP)
        sys.stdin.readline()

    return wait, lambda result: say(json.dumps(result) + "\n")
