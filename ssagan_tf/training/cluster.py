"""The other machines of a training: waited for in Python, where a signal ends the wait, before TensorFlow connects."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence

from absl import logging

from ssagan_tf.errors import UserError

_PATIENCE = 900.0  # seconds, in which all machines are to be there
_TOLD_EVERY = 30.0
_PAUSE = 0.5


def wait_for_others(own: str, others: Sequence[str]) -> None:
    """Waits until every address has been connected to. TensorFlow, which comes next, waits for ever, deaf to signals.

    Machines that wait cannot find each other unless they listen, so each does, at its own address, until all are there.

    Args:
        own: HOST:PORT of this machine.
        others: of the others.

    Raises:
        UserError: some did not come in 15 minutes, or an address is none.
    """
    start = told = time.monotonic()
    missing = list(others)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # TensorFlow listens there already, or the address is another network's
            listener = socket.create_server(("", _split(own)[1]), backlog=len(missing) + 1)
            stack.enter_context(listener)
        while missing := [address for address in missing if not _answers(address)]:
            now = time.monotonic()
            if now - start > _PATIENCE:
                raise UserError(
                    f"Machines of TF_CONFIG did not come. Received: no answer from {', '.join(missing)} in "
                    f"{_PATIENCE:.0f} seconds. Start the same command there, or correct TF_CONFIG."
                )
            if now - told >= _TOLD_EVERY:
                told = now
                logging.info("Waiting for %s for %.0f seconds.", ", ".join(missing), now - start)
            time.sleep(_PAUSE)


def _answers(address: str) -> bool:
    try:
        socket.create_connection(_split(address), timeout=5).close()
    except OSError:
        return False
    return True


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"An address of TF_CONFIG is none. Received: {address!r}. Give HOST:PORT.")
    return host.strip("[]"), int(port)
