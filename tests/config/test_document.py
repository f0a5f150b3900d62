"""YAML is read within bounds, and a mistake in it is told in words and with its place."""

from __future__ import annotations

import pytest

from mlserve.config.document import MAX_CHARACTERS, Entries, Items, Scalar, read_document
from mlserve.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1,\nb", ("c.yaml:2:2: not valid YAML: while parsing a flow sequence that begins in line 1: "
         "expected ',' or ']', but got the end of the file")),
        ("\t- a", ("c.yaml:1:1: not valid YAML: while scanning for the next token: "
         "found a tab that cannot start any token (indent with spaces, not tabs)")),
        ("a: 'b", ("c.yaml:1:6: not valid YAML: while scanning a quoted scalar that begins in line 1: "
         "found unexpected end of stream")),
        ("a: {b: ${C}}", ("c.yaml:1:9: not valid YAML: while parsing a flow mapping that begins in line 1: "
         "expected ',' or '}', but got '{'; YAML takes the { of ${VAR} for its own inside braces and brackets: "
         "put the key on its own line")),
        ("a: b: c", (
                "c.yaml:1:5: not valid YAML: a key may not begin here; check the indentation, "
                "and quote a value that holds ': '"
            )),
        (
            "a:\n  b: 1\n c: 2",
            "c.yaml:3:2: not valid YAML: this does not line up with what is above it; check the indentation",
        ),
        ("a:\n  b\x07", "c.yaml:2:4: the character U+0007 is not allowed in YAML"),
        ('a: "\\UFFFFFFFF"', "c.yaml:1:7: not a Unicode character"),
        ('a: "\\ud800"', "c.yaml:1:4: half of a surrogate pair is not a Unicode character"),
        ("a: !!python/object/apply:os.fork []", "c.yaml:1:4: the tag !!python/object/apply:os.fork is not accepted"),
        ("a: !!binary aGk=", "c.yaml:1:4: the tag !!binary is not accepted"),
        ("a: !!set {b}", "c.yaml:1:4: the tag !!set is not accepted"),
        ("a: !own b", "c.yaml:1:4: the tag !own is not accepted"),
        ("a: *b", "c.yaml:1:4: *b refers to an anchor &b that is not above it"),
        ("a: &b [*b]", "c.yaml:1:8: *b refers to a value that holds it"),
        ("a: 1\n---\nb: 2", "c.yaml:2:1: a second document begins here; a configuration is one document"),
        ("? [a]\n: b", "c.yaml:1:3: a key must be plain text, not a list or a mapping"),
        ("a: {<<: 5}", "c.yaml:1:9: << takes a mapping or a list of mappings, such as *name"),
        ("[" * 70 + "]" * 70, "c.yaml:1:66: nested deeper than 64 levels"),
        ("#" * (MAX_CHARACTERS + 1), "c.yaml: the file is larger than 4 MiB"),
    ],
)  # fmt: skip
def test_refused(text: str, expected: str) -> None:
    """Bad or hostile YAML would be accepted, or told of in PyYAML's words and without a place."""
    with pytest.raises(ConfigError) as caught:
        read_document(text, "c.yaml")
    assert str(caught.value) == expected


def test_a_billion_laughs() -> None:
    """A few lines of aliases would fill the memory."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="more than 500000 values once aliases are expanded"):
        read_document("\n".join(lines), "c.yaml")


@pytest.mark.parametrize("link", ["&a{n} [*a{m}]", "&a{n} {{<<: *a{m}}}"])
def test_a_long_chain_of_aliases(link: str) -> None:
    """Depth by reference, which no bracket shows, would exhaust the stack."""
    lines = ["- &a0 {x: 1}"] + ["- " + link.format(n=n, m=n - 1) for n in range(1, 2000)]
    with pytest.raises(ConfigError, match="nested deeper than 64 levels"):
        read_document("\n".join(lines), "c.yaml")


def test_lines_and_texts_are_kept() -> None:
    """Problems would stand at the wrong line, or text would lose its zeros."""
    root = read_document("# c\na: 010\nb:\n  - 'x'\n  - !!str 5\n", "c.yaml")
    assert isinstance(root, Entries)
    (key, value), (_, items) = root.pairs
    assert (key.line, value) == (2, Scalar(2, "010", plain=True))
    assert isinstance(items, Items)
    assert [(item.line, isinstance(item, Scalar) and item.value) for item in items.items] == [(4, "x"), (5, "5")]
