"""Reads SQL as far as its lexical structure goes: tokens and statements. Pure. Knows no grammar.

Made for what pg_dump writes: standard_conforming_strings is on there.
Source of the rules: PostgreSQL's manual, "Lexical Structure".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<string>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
  | (?P<name>"(?:[^"]|"")*"|\w[\w$]*)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def statements(sql: str) -> Iterator[tuple[str, list[str]]]:
    r"""Each statement as (its text without the semicolon, its tokens without spaces and comments).

    psql's own lines (`\connect` and the like) count as nothing.
    """
    text: list[str] = []
    tokens: list[str] = []
    for match in _lexemes(sql):
        if match[0] == ";":
            yield "".join(text).strip(), tokens
            text, tokens = [], []
        elif match.lastgroup == "space":
            text.append(match[0] if tokens else "")
        else:
            text.append(match[0])
            tokens.append(match[0])
    if tokens:
        yield "".join(text).strip(), tokens


def comment_starts(sql: str) -> Iterator[int]:
    """Where comments begin; what only looks like one, in a function's body or another string, is none."""
    return (match.start() for match in _lexemes(sql) if match[0].startswith("--"))


def _lexemes(sql: str) -> Iterator[re.Match[str]]:
    """Every token, space and comment, but psql's own lines."""
    position = 0
    begun = False
    while position < len(sql):
        if not begun and sql[position] == "\\":
            position = (sql.find("\n", position) + 1) or len(sql)
            continue
        match = _TOKEN.match(sql, position)
        if match is None:
            break
        position = match.end()
        if match.lastgroup != "space":
            begun = match[0] != ";"
        yield match


def identifier(token: str) -> str:
    """The name that a token writes."""
    return token[1:-1].replace('""', '"') if token.startswith('"') else token.lower()


def quote_identifier(name: str) -> str:
    """`name` as SQL writes it, quoted."""
    quoted = name.replace('"', '""')
    return f'"{quoted}"'


def roles_in(tokens: Sequence[str]) -> set[str]:
    """The roles that a statement of pg_dump cannot do without; PUBLIC is none."""
    words = [token.upper() for token in tokens]
    found: list[str] = []
    if words[:1] == ["ALTER"] and words[-3:-1] == ["OWNER", "TO"]:
        found.append(tokens[-1])
    if words[:1] in (["GRANT"], ["REVOKE"]) or words[:3] == ["ALTER", "DEFAULT", "PRIVILEGES"]:
        found += [tokens[i + 1] for i in range(len(words) - 1) if words[i] in ("TO", "FROM")]
    found += [tokens[i + 2] for i in range(len(words) - 2) if words[i : i + 2] == ["FOR", "ROLE"]]
    if words[:2] == ["CREATE", "POLICY"] and "TO" in words:
        start = words.index("TO") + 1
        end = next((i for i in range(start, len(words)) if words[i] in ("USING", "WITH")), len(words))
        found += [name for name in tokens[start:end] if name != ","]
    if words[:4] == ["CREATE", "USER", "MAPPING", "FOR"]:
        found.append(tokens[4])
    if words[:2] == ["ALTER", "ROLE"] and words[3:5] == ["IN", "DATABASE"]:
        found.append(tokens[2])
    if words[:3] == ["SET", "SESSION", "AUTHORIZATION"]:
        found.append(f'"{tokens[3][1:-1]}"' if tokens[3].startswith("'") else tokens[3])
    return {identifier(name) for name in found if name.upper() not in {"PUBLIC", "DEFAULT"}}


def with_database(text: str, name: str) -> str:
    """A statement of pg_dump about a database, about another one instead: the name after DATABASE is exchanged."""
    of_role = re.match(r'(?i)ALTER ROLE ("(?:[^"]|"")*"|\w+)', text)  # whose name may be `database`
    position = of_role.end() if of_role else 0
    after = False
    while match := _TOKEN.match(text, position):
        if after and match.lastgroup == "name":
            return text[:position] + quote_identifier(name) + text[match.end() :]
        after = after or (match.lastgroup == "name" and match[0].upper() == "DATABASE")
        position = match.end()
    raise ValueError(f"no database is named in: {text}")
