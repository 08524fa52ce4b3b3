"""Names of deployments in code, which is read and never run."""

from __future__ import annotations

import pytest

from cluster.lint.rules.serve_code import read_code


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("@serve.deployment\nclass A: ...", {"A"}),
        ("@serve.deployment(name='x', num_replicas=2)\n@serve.ingress(app)\nclass A: ...", {"x"}),
        ("@deployment\ndef f(): ...", {"f"}),
        ("@serve.deployment\nclass A: ...\na = A.options(name='y').bind()", {"A", "y"}),
        ("class A: ...\nB = serve.deployment(A)\nb = B.bind()", None),
        ("from parts import A\na = A.bind()", None),
        ("import parts\na = parts.A.options(name='x').bind()", None),
        ("from parts import *\n@serve.deployment\nclass A: ...", None),
    ],
)
def test_deployments(code: str, names: set[str] | None) -> None:
    assert read_code(f"from ray import serve\n{code}\n").deployments == names


def test_names_at_the_top() -> None:
    code = read_code("import os\nfrom a import b as c\nif os:\n    app = 1\ndef build(): ...\n")
    assert code.names >= {"os", "c", "app", "build"}


def test_text_that_is_no_python() -> None:
    with pytest.raises(SyntaxError):
        read_code("def (")
