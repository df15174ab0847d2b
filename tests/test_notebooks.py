"""The notebooks are committed as they are read: short, without outputs, and nothing defined."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from executed_notebooks import FOLDER, execute, read

NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))


def test_there_are_four_in_the_order_of_reading():
    assert [name[0] for name in NAMES] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_no_output_and_defines_nothing(name: str):
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert len(cells) <= 15
    for cell in cells:
        assert cell.outputs == []
        assert cell.execution_count is None
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda), cell.source
            # A stranger learns the packages from here: nothing that is private.
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_"), node.attr
            if isinstance(node, ast.ImportFrom):
                assert not [a.name for a in node.names if a.name.startswith("_")], node.module


def test_the_plan_of_a_shop_whose_truth_is_known(tmp_path: Path):
    said = execute("3_from_uplift_to_a_plan.ipynb", tmp_path)
    assert "held out" in said
    assert "treated whose truth is known: expected" in said
