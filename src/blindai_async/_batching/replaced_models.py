"""Models that are being uploaded under an id that is in use."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from blindai_async.errors import RequestRejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAY_FOLLOW = 10.0  # seconds within which a model may take its place after its upload has failed


class ReplacedModels:
    """The models of which nobody can tell, at the moment, which version answers.

    Args:
        forget: drops what was learned of a model.
    """

    def __init__(self, forget: Callable[[str], None]) -> None:
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._names: Counter[str] = Counter()

    def __contains__(self, model_id: object) -> bool:
        return any(is_called(str(model_id), name) for name in self._names)

    @contextmanager
    def replacing(self, name: str) -> Iterator[None]:
        """Count a model among them while it is uploaded.

        The server puts the new model in the old one's place before it answers, and after a failure
        perhaps later.
        """
        self._names[name] += 1
        self._forget(name)
        try:
            yield
        except RequestRejectedError:
            self._end(name)
            raise
        except BaseException:
            # Nobody knows what the server does with what has reached it.
            self._loop.call_later(_MAY_FOLLOW, self._end, name)
            raise
        self._end(name)

    def _end(self, name: str) -> None:
        self._names[name] -= 1
        if not self._names[name]:
            del self._names[name]
        self._forget(name)


def is_called(model_id: str, name: str) -> bool:
    """Whether a model is the one that was uploaded as `name`: a named user's is `user/name`."""
    return f"/{model_id}".endswith(f"/{name}")
