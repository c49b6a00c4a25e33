"""Docstrings open with a summary in numpydoc form."""

import ast
import re
from pathlib import Path

from bench.data import _spec

ROOT = Path(__file__).parents[1]
ROOMS = ("bench", "data", "methods", "reports", "tasks")

#: These files' bytes are part of the digest of the built-in cohort: a new word in them would be a new dataset.
SEALED = {f"data/{name}" for name in _spec._GENERATOR_FILES}
QUESTION = re.compile(r"(What|Whether|How|Which|Where|When|Why|Who)\b")
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(text: str) -> list[str]:
    return [
        doc for node in ast.walk(ast.parse(text)) if isinstance(node, DOCUMENTED) and (doc := ast.get_docstring(node))
    ]


def test_docstrings_open_with_a_summary():
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    questions = [
        f"{path.relative_to(ROOT)}: {doc.splitlines()[0]}"
        for path in files
        if str(path.relative_to(ROOT)) not in SEALED
        for doc in docstrings(path.read_text(encoding="utf-8"))
        if QUESTION.match(doc)
    ]
    assert not questions, "a docstring opens with a summary, such as 'Return whether ...': " + "; ".join(questions)


def test_a_docstring_that_opens_as_a_question_is_found():
    found = docstrings('"""A module."""\nclass A:\n    """What it is."""\n    def f(self):\n        """Return it."""\n')
    assert [doc for doc in found if QUESTION.match(doc)] == ["What it is."]
