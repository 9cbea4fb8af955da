"""Queries of the user's own that a restored database must answer with true."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from backup.errors import ConfigurationError, ProofMismatch
from tests.drill.conftest import Drilling

_STUBBORN = """
DO $$
BEGIN
    LOOP
        BEGIN
            PERFORM pg_sleep(600);
        EXCEPTION WHEN query_canceled THEN
        END;
    END LOOP;
END
$$
"""
"""Minds no cancelling."""


_GOOD = (
    "SELECT true",
    "SELECT count(*) = 1000 FROM orders",
    "SELECT customer IS NOT NULL FROM orders",
    "SELECT true, 'and more'",
    "CREATE TEMPORARY TABLE t AS SELECT 1 AS n; SELECT n = 1 FROM t",
    "SELECT true;",
    "SET statement_timeout = '1h'; SELECT true",
)
_WRONG = {
    "SELECT false": "it gave False, not true",
    "SELECT NULL::boolean": "it gave None, not true",
    "SELECT 1": "it gave 1, not true",
    "SELECT 'true'": "it gave a value of type str, not true",
    "SELECT": "it gave no rows",
    "SELECT true WHERE false": "it gave no rows",
    "CREATE TEMPORARY TABLE t (id int)": "it gave no rows",
    "": "it gave no rows",
    "SELECT n <> 999 FROM generate_series(1, 1000) AS n": "it gave False, not true",
    "SELECT true FROM nowhere": 'relation "nowhere" does not exist',
    "SELECT 1 / 0 = 1": "it failed with DivisionByZero (22012)",
    "SELECT 'ann@example.com'::int = 1": "it failed with InvalidTextRepresentation (22P02)",
    "SELECT false; SELECT true": "it gave False, not true",
    "SELECT pg_terminate_backend(pg_backend_pid())": "terminating connection due to administrator command",
}


def _options(queries: Iterable[str]) -> list[str]:
    return [word for sql in queries for word in ("--check", sql)]


def test_what_is_answered_with_true_in_each_row_is_good(drilling: Drilling) -> None:
    ended = drilling.drilled(*_options(_GOOD))
    assert ended.code == 0, ended
    assert [(each["name"], each["passed"], each["said"]) for each in ended.result["checks"]] == [
        (sql, True, "") for sql in _GOOD
    ]
    assert ended.result["verdict"] == "proven"
    assert "own checks" in ended.result["seconds"]


def test_any_other_answer_fails_the_drill_and_each_is_told(drilling: Drilling) -> None:
    ended = drilling.drilled(*_options(["SELECT true", *_WRONG]))
    assert ended.code == ProofMismatch.exit_code, ended
    good, *wrong = ended.result["checks"]
    assert good["passed"] is True
    assert {each["name"]: (each["passed"], each["said"]) for each in wrong} == {
        sql: (False, said) for sql, said in _WRONG.items()
    }
    assert ended.result["verdict"] == "differs"
    assert ended.result["text"] == f"{len(_WRONG)} of {len(_WRONG) + 1} checks failed: SELECT false"
    assert drilling.last_result() == ended.result


def test_a_failed_check_is_told_to_people(drilling: Drilling) -> None:
    ended = drilling.pgproof("drill", "latest", "--check", "SELECT count(*) FROM orders")
    assert ended.code == ProofMismatch.exit_code, ended
    assert "SELECT count(*) FROM orders: it gave 1000, not true" in ended.stdout
    assert "check SELECT count(*) FROM orders: it gave 1000, not true" in ended.stderr


def test_a_check_that_hangs_is_ended_even_where_it_minds_no_limit_and_no_cancelling(drilling: Drilling) -> None:
    hanging = ["SELECT pg_sleep(600) IS NULL", "SET statement_timeout = 0; SELECT pg_sleep(600) IS NULL", _STUBBORN]
    ended = drilling.drilled(*_options([*hanging, "SELECT true"]), "--check-timeout", "1")
    assert ended.code == ProofMismatch.exit_code, ended
    assert [each["passed"] for each in ended.result["checks"]] == [False, False, False, True]
    assert {each["said"] for each in ended.result["checks"][:3]} == {"no answer within 1 s"}


def test_a_check_has_the_time_that_it_was_given_whatever_the_database_is_set_to(own: Drilling) -> None:
    own.run(f"ALTER DATABASE {own.database} SET statement_timeout = '500ms'")
    own.back_up()
    ended = own.drilled("--check", "SELECT pg_sleep(1) IS NOT NULL")
    assert ended.code == 0, ended


def test_files_are_checks_by_their_names(drilling: Drilling, tmp_path: Path) -> None:
    (tmp_path / "some.sql").write_text("-- orders\nSELECT count(*) > 0 FROM orders;\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "some.sql").write_text("SELECT false")
    files = [str(tmp_path / "some.sql"), str(tmp_path / "more" / "some.sql")]
    ended = drilling.drilled("--check-file", files[0], "--check-file", files[1])
    assert ended.code == ProofMismatch.exit_code, ended
    assert [(each["name"], each["passed"]) for each in ended.result["checks"]] == [
        ("some.sql", True),
        (files[1], False),
    ]


def test_checks_of_settings_and_environment_are_asked_too(drilling: Drilling, tmp_path: Path) -> None:
    settings = tmp_path / "pgproof.yaml"
    settings.write_text("drill: {checks: {orders are there: SELECT count(*) > 0 FROM orders}}\n")
    environ = {"PGPROOF_CONFIG": str(settings), "PGPROOF_DRILL_CHECK": "SELECT true\nSELECT 1 = 1"}
    ended = drilling.drilled(**environ)
    assert ended.code == 0, ended
    assert [each["name"] for each in ended.result["checks"]] == ["orders are there", "SELECT true", "SELECT 1 = 1"]


def test_a_file_that_is_missing_ends_the_drill_before_it_begins(drilling: Drilling, tmp_path: Path) -> None:
    ended = drilling.drilled("--check-file", str(tmp_path / "none.sql"))
    assert ended.code == ConfigurationError.exit_code, ended
    assert "none.sql" in ended.error["message"]
    assert drilling.stored_drills() == []
