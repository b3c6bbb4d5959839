"""Changes by path: exactly one value differs, and a void change is an error."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from blindai_async.server.tee.emulated.changes import changed


@dataclass(frozen=True)
class Leaf:
    size: int = 1
    _memo: dict[str, int] = field(init=False, compare=False, default_factory=dict)


@dataclass(frozen=True)
class Tree:
    leaf: Leaf = Leaf()
    leaves: tuple[Leaf, ...] = (Leaf(), Leaf(2))
    name: str = "tree"


def test_a_value_is_replaced_at_any_depth_and_the_rest_is_shared():
    tree = Tree()
    other = changed(tree, {"leaf.size": 5, "leaves.1.size": 7})
    assert other == Tree(leaf=Leaf(5), leaves=(Leaf(1), Leaf(7)))
    assert other.leaves[0] is tree.leaves[0]
    assert tree == Tree()


def test_no_memory_of_signatures_passes_to_a_changed_piece():
    leaf = Leaf()
    leaf._memo["old"] = 1
    assert changed(leaf, {"size": 2})._memo == {}


@pytest.mark.parametrize(
    "path",
    ["nothing", "leaf.nothing", "leaves.2", "leaves.x", "leaves.-1", "name.x", "", "leaf._m"],
)
def test_a_path_that_leads_nowhere_is_refused(path):
    with pytest.raises(ValueError, match="there is no"):
        changed(Tree(), {path: 3})


@pytest.mark.parametrize(("path", "value"), [("leaf.size", 1), ("leaves", (Leaf(), Leaf(2)))])
def test_a_change_that_changes_nothing_is_refused(path, value):
    with pytest.raises(ValueError, match="already"):
        changed(Tree(), {path: value})
