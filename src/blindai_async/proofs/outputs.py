"""The outputs of a prediction by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blindai_async.tensors.tensor import Tensor

__all__ = ["NamedOutputs"]


class NamedOutputs(Mapping[str, "Tensor"]):
    """A read-only mapping from an output's name to its tensor, in the model's order.

    Outputs without a name, and those that share one, are left out: their positions in
    ``result.output`` tell them apart.

    Args:
        output: the tensors, in the model's order.
    """

    __slots__ = ("_by_name", "_count")

    def __init__(self, output: Sequence[Tensor]) -> None:
        names = [tensor.info.index_name for tensor in output]
        uses = Counter(names)
        self._count = len(output)
        self._by_name = {
            name: tensor
            for name, tensor in zip(names, output, strict=True)
            if name and uses[name] == 1
        }

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(self._explanation(name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return f"NamedOutputs({self._by_name!r})"

    def _explanation(self, name: str) -> str:
        if self._by_name:
            return f"no output is named {name!r}; the names are {', '.join(map(repr, self))}"
        return (
            f"no output is named {name!r}: the server names none of its {self._count}; read "
            "output[0] and so on, or state names with upload_model(output_specs=[TensorSpec(...)])"
        )
