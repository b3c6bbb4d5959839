"""Running a server as a process: until SIGTERM or SIGINT, then drain."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]  # a module or its absence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blindai_async.server.app import BlindAIServer

__all__ = ["run_until_signalled", "serve"]


def serve(
    server: BlindAIServer, *, on_ready: Callable[[BlindAIServer], None] | None = None
) -> None:
    """Run a server in this process's main thread until it is told to stop.

    Args:
        server: one that was not started yet.
        on_ready: is called once both ports are open, with the server.

    Raises:
        OSError: a port cannot be had, or a file cannot be read.
        ValueError: a model or a file in the server's directory is damaged.
    """
    asyncio.run(run_until_signalled(server, on_ready=on_ready))


async def run_until_signalled(
    server: BlindAIServer, *, on_ready: Callable[[BlindAIServer], None] | None = None
) -> None:
    """Start a server and drain it at SIGTERM or SIGINT; a second signal cuts the grace short.

    Args:
        server: one that was not started yet.
        on_ready: is called once both ports are open, with the server.
    """
    _allow_many_connections()
    first, second = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (second if first.is_set() else first).set()

    with _signals(on_signal):
        async with server:
            if on_ready is not None:
                on_ready(server)
            await first.wait()
            draining = asyncio.ensure_future(server.stop())
            hurry = asyncio.ensure_future(second.wait())
            await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
            if not draining.done():
                await server.stop(grace=0)
            hurry.cancel()
            await draining


@contextlib.contextmanager
def _signals(handler: Callable[[], None]) -> Iterator[None]:
    """Call `handler` on the loop for every signal that asks a process to end."""
    loop = asyncio.get_running_loop()
    # Windows has Ctrl-Break beside Ctrl-C, and it is the only one that another process can send.
    names = ("SIGTERM", "SIGINT", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    with contextlib.ExitStack() as undo:
        for number in numbers:
            try:
                loop.add_signal_handler(number, handler)
                undo.callback(loop.remove_signal_handler, number)
            except NotImplementedError:  # the loops of Windows, which wake up for signals though
                before = signal.signal(number, lambda *_: loop.call_soon_threadsafe(handler))
                undo.callback(signal.signal, number, before)
        yield


def _allow_many_connections() -> None:
    """Raise the number of open files to what the system allows.

    The usual 1,024 would let as many idle connections keep everybody else out.
    """
    if resource is None:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
