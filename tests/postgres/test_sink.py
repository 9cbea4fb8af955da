"""The comparison that round trips rely on sees every kind of change, and nothing where nothing changed."""

from __future__ import annotations

import pytest

from tests.fixtures.postgres import Connection, NewDatabase, Server
from tests.support.compare import difference, facts
from tests.support.sink import load_sink

CHANGES = {
    'rows "types"."numbers"': "UPDATE types.numbers SET r = 0 WHERE id = 6",  # minus zero becomes zero
    'rows "types"."texts"': "UPDATE types.texts SET c = 'b' WHERE id = 2",
    'rows "types"."times"': "UPDATE types.times SET tz = tz + interval '1 microsecond' WHERE id = 3",
    'rows "types"."things"': "UPDATE types.things SET j = j::jsonb::json WHERE id = 1",
    'rows "types"."arrays"': "UPDATE types.arrays SET i = '{1,2,3}' WHERE id = 3",
    'rows "types"."heavy"': "UPDATE types.heavy SET zeros = set_byte(zeros, 999999, 1) WHERE id = 4",
    'rows "types"."two_rows_without_columns"': "INSERT INTO types.two_rows_without_columns DEFAULT VALUES",
    'rows "sink"."cities"': "DELETE FROM ONLY sink.cities",
    'rows "sink"."filled"': "UPDATE sink.indexed SET a = 100 WHERE id = 1; REFRESH MATERIALIZED VIEW sink.filled",
    'position "sink"."mid"': "SELECT nextval('sink.mid')",
    'position "sink"."untouched"': "SELECT setval('sink.untouched', 42, true)",
    "large object 7000003": "SELECT lo_put(7000003, 3000000, '\\xff')",
    "large object acl 7000002": "REVOKE ALL ON LARGE OBJECT 7000002 FROM CURRENT_USER; "
    "GRANT SELECT ON LARGE OBJECT 7000002 TO PUBLIC",
    "comment table sink.hen": "COMMENT ON TABLE sink.hen IS 'other'",
    "column types.reordered.a": "ALTER TABLE types.reordered ALTER COLUMN a SET DEFAULT 1",
    "column types.numbers.n2": "ALTER TABLE types.numbers ALTER COLUMN n2 TYPE numeric(21, 5)",
    "constraint known on sink.orphans": "ALTER TABLE sink.orphans DROP CONSTRAINT known",
    "constraint not_checked on sink.orphans": "DELETE FROM sink.orphans WHERE a < 0; "
    "ALTER TABLE sink.orphans VALIDATE CONSTRAINT not_checked",
    "index sink.indexed_brin": "ALTER INDEX sink.indexed_brin SET (pages_per_range = 8)",
    "index sink.indexed_gin": "DROP INDEX sink.indexed_gin",
    "trigger counted on sink.indexed": "ALTER TABLE sink.indexed DISABLE TRIGGER counted",
    "rule nothing_happens on sink.replicated": "ALTER TABLE sink.replicated ENABLE RULE nothing_happens",
    "policy own_rows on sink.secrets": "ALTER POLICY own_rows ON sink.secrets TO PUBLIC",
    "relation sink.secrets": "ALTER TABLE sink.secrets NO FORCE ROW LEVEL SECURITY",
    "relation sink.forgetful": "ALTER TABLE sink.forgetful SET LOGGED",
    "relation sink.events_rest": "ALTER TABLE sink.events DETACH PARTITION sink.events_rest",
    "view sink.simple_view": 'CREATE OR REPLACE VIEW sink.simple_view AS SELECT id, b AS "B %s" FROM sink.indexed',
    "sequence sink.cycling": "ALTER SEQUENCE sink.cycling NO CYCLE",
    "sequence sink.owned_by_hand": "ALTER SEQUENCE sink.owned_by_hand OWNED BY NONE",
    "statistics sink.both_columns": "ALTER STATISTICS sink.both_columns SET STATISTICS 5",
    "routine sink.safe()": "ALTER FUNCTION sink.safe() SECURITY INVOKER",
    "owner routine sink.joined(text)": "ALTER AGGREGATE sink.joined(text) OWNER TO sink_reader",
    "owner operator sink.>(sink.cents,sink.cents)": "ALTER OPERATOR sink.> "
    "(sink.cents, sink.cents) OWNER TO sink_reader",
    "cast sink.person as text": "DROP CAST (sink.person AS text)",
    "type types.mood": "ALTER TYPE types.mood RENAME VALUE 'sad' TO 'blue'",
    "type types.positive": "ALTER DOMAIN types.positive DROP DEFAULT",
    "text search configuration sink.searching": "ALTER TEXT SEARCH CONFIGURATION sink.searching DROP MAPPING FOR word",
    "extension citext": "ALTER EXTENSION citext SET SCHEMA public",
    'event trigger "watch %s"': 'ALTER EVENT TRIGGER "watch %s" DISABLE',
    "publication few": "ALTER PUBLICATION few SET TABLE sink.serials (id) WHERE (id > 3)",
    "foreign server far": "ALTER SERVER far OPTIONS (SET host 'near')",
    "default privileges sink_owner": "ALTER DEFAULT PRIVILEGES FOR ROLE sink_owner "
    "REVOKE USAGE ON TYPES FROM sink_reader",
    "owner relation sink.mid": "ALTER SEQUENCE sink.mid OWNER TO CURRENT_USER",
    "acl column sink.granted.c": "REVOKE SELECT (c) ON sink.granted FROM PUBLIC",
    "acl relation sink.serials": "REVOKE GRANT OPTION FOR DELETE ON sink.serials FROM sink_reader CASCADE",
    "acl routine sink.safe()": "GRANT EXECUTE ON FUNCTION sink.safe() TO PUBLIC",
    "acl schema sink": "REVOKE CREATE ON SCHEMA sink FROM sink_owner",
}


@pytest.fixture
def sink(any_server: Server, new_database: NewDatabase) -> Connection:
    return any_server.connect(new_database(any_server))


def test_every_change_is_seen_and_only_that(sink: Connection) -> None:
    with sink:
        load_sink(sink)
        before = facts(sink)
        assert difference(before, facts(sink)) == []
        for change in CHANGES.values():
            sink.execute(change.encode())
        found = difference(before, facts(sink))
    unseen = [key for key in CHANGES if not any(f": {key}" in line.splitlines()[0] for line in found)]
    assert unseen == []


def test_what_differs_is_said_in_few_words() -> None:
    left = {"rows a": ("same", "gone"), "view v": "SELECT 1", "owner o": "x", "database owner": "y"}
    right = {"rows a": ("same",), "view v": "SELECT 1", "owner n": "x", "database owner": "z"}
    assert difference(left, right, ignore=["database "]) == [
        "unexpected: owner n: x",
        "missing: owner o: x",
        "different: rows a:\n    ('gone',)\n    1 rows",
    ]
