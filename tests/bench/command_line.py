"""The command line in this process: what ``python -m bench.cli`` does, without an interpreter's start for each call."""

import contextlib
import io
import signal
import sys
import traceback
from subprocess import CompletedProcess

import pytest

from bench.cli import main


def bench(*args, cwd=None, env=None):
    """Run a command to its end; exit code and output, as of a process of its own.

    The working directory, variables, handlers of signals and threads of torch are as before afterwards.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with pytest.MonkeyPatch.context() as patch, _threads_of_torch():
        patch.setattr(sys, "argv", ["bench", *map(str, args)])
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                code = _exit_code(main)
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
    return CompletedProcess(args, code, out.getvalue(), err.getvalue())


def _exit_code(command):
    try:
        command()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:  # noqa: BLE001 - told as by an interpreter of its own
        traceback.print_exc()
        return 1
    return 0


@contextlib.contextmanager
def _threads_of_torch():
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    yield
    if before is not None:
        sys.modules["torch"].set_num_threads(before)
