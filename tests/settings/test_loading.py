from __future__ import annotations

from pathlib import Path

import pytest

from backup.errors import ConfigurationError, UsageError
from backup.settings import Loaded, Settings, load, read
from backup.settings.branches import available_cores
from backup.settings.leaves import leaf, leaves
from backup.stores.addresses import MOST_PARTS

MIB = 1 << 20


def problems(error: ConfigurationError) -> list[str]:
    return error.detail.splitlines() if error.detail else [error.message]


def refused(environ: dict[str, str], *, flags: dict[str, object] | None = None, file: Path | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(flags or {}, environ, file=file, flag_names={"dump.zstd_level": "--zstd-level"})
    assert caught.value.status == 3
    return problems(caught.value)


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    return tmp_path / "pgproof.yaml"


def test_nothing_set_gives_the_defaults() -> None:
    assert load({}, {}) == Settings()


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(yaml: Path) -> None:
    yaml.write_text("dump: {zstd_level: 3, zstd_threads: 3, lock_wait_timeout: 3}\n")
    environ = {"PGPROOF_ZSTD_LEVEL": "4", "PGPROOF_ZSTD_THREADS": "4"}
    loaded = read({"dump.zstd_level": "5", "dump.compression": None}, environ, file=yaml)
    dump = loaded.settings.dump
    assert (dump.zstd_level, dump.zstd_threads, dump.lock_wait_timeout, dump.compression) == (5, 4, 3, "zstd")
    kinds = {path[-1]: origin.kind for path, origin in loaded.origins.items()}
    assert kinds == {"zstd_level": "flag", "zstd_threads": "environment", "lock_wait_timeout": "file"}


def test_an_empty_variable_says_nothing() -> None:
    assert load({}, {"PGPROOF_ZSTD_LEVEL": "", "PGPROOF_DATABASE_URL_FILE": ""}) == Settings()


def test_all_problems_are_told_together_each_with_its_name_and_source(yaml: Path) -> None:
    yaml.write_text(
        "dump: {volume_size: huge, labels: 3}\nrestor: {jobs: 1}\nstores: {main: {url: 'ftp://x', ports: 1}, b: {}}\n"
    )
    environ = {"PGPROOF_ZSTD_THREADS": "many", "PGPROOF_LOG_FORMAT": "xml", "PGPROOF_TARGET": "../x"}
    said = refused(environ, flags={"dump.zstd_level": "99"}, file=yaml)
    assert {line.partition(": ")[0] for line in said} == {
        f"dump.volume_size ({yaml})",
        f"dump.labels ({yaml})",
        f"restor ({yaml})",
        f"stores.main.url ({yaml})",
        f"stores.main.ports ({yaml})",
        f"stores.b.url ({yaml})",
        "PGPROOF_ZSTD_THREADS (environment)",
        "PGPROOF_LOG_FORMAT (environment)",
        "PGPROOF_TARGET (environment)",
        "--zstd-level (flag)",
    }
    assert "--zstd-level (flag): must be at most 22" in said
    assert "PGPROOF_LOG_FORMAT (environment): must be text or json" in said
    assert f"restor ({yaml}): is not a setting; did you mean restore?" in said


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PGPROOF_ZSTD_LEVEL", "0", "must be at least 1"),
        ("PGPROOF_ZSTD_LEVEL", "two", "must be a whole number"),
        ("PGPROOF_VOLUME_SIZE", "1KiB", "must be at least 1MiB"),
        ("PGPROOF_VOLUME_SIZE", "big", "'big' is not a size such as 64MiB"),
        ("PGPROOF_VERBOSE", "perhaps", "must be true or false"),
        ("PGPROOF_LABELS", "a=1,b", "'b' is not name=value"),
        ("PGPROOF_STORE", "s3://", "must be a path that begins with / or ./, file:///path, or s3://bucket/prefix"),
        (
            "PGPROOF_STORE",
            "gs://bucket",
            "must be a path that begins with / or ./, file:///path, or s3://bucket/prefix",
        ),
        (
            "PGPROOF_STORE",
            "backups",
            "there is no store 'backups' in the file; a folder is written /backups or ./backups",
        ),
        ("PGPROOF_RESTORE_MAINTENANCE_WORK_MEM", "1; drop", "must be a size as PostgreSQL writes it, such as 256MB"),
    ],
)
def test_a_wrong_value_is_explained(name: str, value: str, reason: str) -> None:
    assert refused({name: value}) == [f"{name} (environment): {reason}"]


def test_a_wrong_secret_is_not_repeated() -> None:
    said = refused({"PGPROOF_DATABASE_URL": "mysql://me:hunter2@host/db"})
    assert said == [
        "PGPROOF_DATABASE_URL (environment): must begin with postgresql://, or be keywords such as host=… dbname=…"
    ]


def test_an_unknown_variable_is_a_warning_with_the_nearest_name() -> None:
    environ = {"PGPROOF_ZSTD_LEVL": "3", "PGPROOF_PORT": "tcp://10.0.0.1:80", "PGPROOF_CONFIG": "x"}
    environ |= {"PGPROOF_SERVICE_HOST": "10.0.0.1", "PGPROOF_PORT_80_TCP_ADDR": "10.0.0.1", "PGPROOF_MINE": "1"}
    loaded = read({}, environ, more_known=lambda: {"PGPROOF_MINE"})
    assert loaded.warnings == ("PGPROOF_ZSTD_LEVL is not known; did you mean PGPROOF_ZSTD_LEVEL?",)


class TestSecretsInFiles:
    def test_a_variable_names_the_file(self, tmp_path: Path) -> None:
        secret = tmp_path / "url"
        secret.write_text("postgresql://u:p w@h/d\n")
        settings = load({}, {"PGPROOF_DATABASE_URL_FILE": str(secret)})
        assert settings.database.conninfo == "postgresql://u:p w@h/d"

    def test_the_file_names_it_beside_itself(self, tmp_path: Path, yaml: Path) -> None:
        (tmp_path / "url").write_text("postgresql://h/d\r\n")
        yaml.write_text("database: {url_file: url}\n")
        assert load({}, {}, file=yaml).database.conninfo == "postgresql://h/d"

    def test_the_newline_of_the_file_that_a_variable_was_made_of_is_no_part_of_a_secret(self) -> None:
        environ = {"PGPROOF_DATABASE_URL": "postgresql://h/shop\n", "PGPROOF_WEBHOOK_URL": "https://h/x\r\n"}
        settings = load({}, environ)
        assert settings.database.conninfo == "postgresql://h/shop"
        assert settings.notify.webhook.url is not None
        assert settings.notify.webhook.url.get_secret_value() == "https://h/x"
        assert load({}, {"DATABASE_URL": "postgresql://h/shop\n"}).database.conninfo == "postgresql://h/shop"

    def test_every_secret_has_both_forms(self, tmp_path: Path) -> None:
        values = {
            "PGPROOF_PUSHGATEWAY": "https://pushgateway.test",
            "PGPROOF_WEBHOOK_URL": "https://hooks.test/T0",
            "PGPROOF_WEBHOOK_SECRET": f"whsec_{'c2VjcmV0' * 4}",
            "PGPROOF_NOTIFY": "mailto://me:pass@mail.test",
            "PGPROOF_PING_URL": "https://ping.test/P1",
        }
        environ = {"PGPROOF_STORE": "s3://bucket"}
        for name in [str(each.env.name) for each in leaves() if each.secret]:
            (tmp_path / name).write_text(values.setdefault(name, "host=from-a-file") + "\n")
            environ[f"{name}_FILE"] = str(tmp_path / name)
        settings = load({}, environ)
        addresses = ["host=from-a-file"] * 2  # of which nothing is secret
        assert sorted([*settings.secrets(), *addresses]) == sorted(values.values())
        assert settings.database.conninfo == "host=from-a-file"

    def test_both_forms_at_once_are_an_error(self, tmp_path: Path, yaml: Path) -> None:
        environ = {"PGPROOF_DATABASE_URL": "postgresql://h/d", "PGPROOF_DATABASE_URL_FILE": str(tmp_path)}
        assert refused(environ) == [
            "PGPROOF_DATABASE_URL (environment): is set, and PGPROOF_DATABASE_URL_FILE too; set one of them"
        ]
        yaml.write_text("database: {url_file: url, url: 'host=h'}\n")
        assert refused({}, file=yaml) == [f"database.url_file ({yaml}): is set, and url too; set one of them"]

    def test_one_that_cannot_be_read_is_a_problem(self, tmp_path: Path) -> None:
        (tmp_path / "empty").write_text("\n")
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        name = "PGPROOF_DATABASE_URL_FILE"
        assert refused({name: f"{tmp_path}/no"}) == [
            f"{name} (environment): cannot read {tmp_path}/no: no such file or directory"
        ]
        assert refused({name: f"{tmp_path}/empty"}) == [f"{name} (environment): {tmp_path}/empty is empty"]
        assert refused({name: f"{tmp_path}/binary"}) == [f"{name} (environment): {tmp_path}/binary is not text"]

    def test_secrets_do_not_print_themselves(self) -> None:
        environ = {"PGPROOF_STORE": "s3://bucket", "PGPROOF_S3_ACCESS_KEY": "AKIA", "PGPROOF_S3_SECRET_KEY": "hunter2"}
        environ["PGPROOF_DATABASE_URL"] = "postgresql://u:hunter2@h/d"
        assert "hunter2" not in repr(load({}, environ))


class TestDatabase:
    def test_the_usual_variable_is_honoured_but_ours_and_the_file_win(self, yaml: Path) -> None:
        yaml.write_text("database: {url: 'host=file'}\n")
        usual = {"DATABASE_URL": "postgres://usual/d"}
        assert load({}, usual).database.conninfo == "postgres://usual/d"
        assert load({}, usual, file=yaml).database.conninfo == "host=file"
        assert load({}, usual | {"PGPROOF_DATABASE_URL": "host=ours"}, file=yaml).database.conninfo == "host=ours"

    @pytest.mark.parametrize("name", ["PGHOST", "PGDATABASE", "PGSERVICE"])
    def test_the_variables_of_libpq_are_enough(self, name: str) -> None:
        assert load({}, {name: "x"}).database.conninfo == ""

    def test_without_any_it_is_said(self) -> None:
        with pytest.raises(ConfigurationError, match="no database is set"):
            _ = load({}, {}).database.conninfo

    @pytest.mark.parametrize(
        ("url", "secrets"),
        [
            ("postgresql://u:p%40ss@h/d", {"p%40ss", "p@ss"}),
            ("postgresql://u@h/d?password=hidden&sslmode=require", {"hidden"}),
            ("postgresql://u:p@ss@h/d", {"p", "p@ss"}),
            ("postgresql://u:p?s#s@h/d", {"p?s#s"}),
            ("postgresql://u@h/d?%70assword=a%26b&ssl%70assword=c", {"a%26b", "a&b", "c"}),
            ("postgresql://h?oauth_client_secret=o&scram_client_key=k&scram_server_key=s", {"o", "k", "s"}),
            ("host=h scram_server_key = 'k' oauth_client_secret=o", {"k", "o"}),
            ("host=h password=a&b\\ c user=d", {"a&b\\ c", "a&b c"}),
            ("host=h password='it\\'s me' dbname=d sslpassword=other", {"it\\'s me", "it's me", "other"}),
            ("postgresql://u@h:5432/d", set()),
            ("host=h", set()),
        ],
    )
    def test_the_passwords_in_an_address_are_known(self, url: str, secrets: set[str]) -> None:
        assert set(load({}, {"PGPROOF_DATABASE_URL": url}).secrets()) == secrets


class TestFile:
    def test_words_that_yaml_reads_as_booleans_are_words(self, yaml: Path) -> None:
        yaml.write_text("dump: {globals: off}\nrestore: {synchronous_commit: on}\n")
        settings = load({}, {}, file=yaml)
        assert (settings.dump.globals, settings.restore.synchronous_commit) == ("off", "on")

    def test_lists_and_maps_as_in_the_environment(self, yaml: Path) -> None:
        yaml.write_text("dump: {exclude_tables: [a.b, 'c,d'], labels: {build: 12}, volume_size: 67108864}\n")
        dump = load({}, {}, file=yaml).dump
        assert (dump.exclude_tables, dump.labels, dump.volume_size) == (("a.b", "c,d"), {"build": "12"}, 64 * MIB)
        environ = {"PGPROOF_EXCLUDE_TABLES": "a.b, c", "PGPROOF_LABELS": "x=1, y=a=b", "PGPROOF_VOLUME_SIZE": "64MiB"}
        dump = load({}, environ).dump
        assert (dump.exclude_tables, dump.labels, dump.volume_size) == (("a.b", "c"), {"x": "1", "y": "a=b"}, 64 * MIB)

    @pytest.mark.parametrize("text", ["", "# nothing\n", "dump:\nstores:\n", "dump: {zstd_level: }\n"])
    def test_one_that_says_nothing_is_fine(self, yaml: Path, text: str) -> None:
        yaml.write_text(text)
        assert load({}, {}, file=yaml) == Settings()

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("a: [", "is not YAML: line 1"),
            ("- a\n", "must be a mapping of settings"),
            ("dump: 3\n", "must be a mapping"),
            ("stores: [a]\n", "must be a mapping"),
            ("stores: {'a b': /x}\n", "must be named with letters, digits, - and _"),
            ("stores: {a: 3}\n", "must be a mapping, or an address"),
            ("database: {url_file: 3}\n", "must be the path of a file"),
            ("target: 2024\n", "must be text; put it in quotes"),
        ],
    )
    def test_one_that_cannot_be_is_refused(self, yaml: Path, text: str, reason: str) -> None:
        yaml.write_text(text)
        assert reason in refused({}, file=yaml)[0]

    def test_one_that_is_not_there_is_refused(self, yaml: Path) -> None:
        assert refused({}, file=yaml) == [f"cannot read {yaml}: no such file or directory"]


class TestStores:
    environ = {  # noqa: RUF012 -- never changed
        "PGPROOF_S3_ENDPOINT": "http://minio:9000/",
        "PGPROOF_S3_ACCESS_KEY": "key",
        "PGPROOF_S3_SECRET_KEY": "secret",
        "PGPROOF_S3_PART_SIZE": "16MiB",
    }

    def test_one_in_the_environment_is_called_main(self) -> None:
        store = load({}, self.environ | {"PGPROOF_STORE": "s3://bucket/some/prefix/"}).store()
        assert (store.bucket, store.prefix, store.endpoint) == ("bucket", "some/prefix", "http://minio:9000")
        assert store.part_size == 16 * MIB
        assert store.secret_key is not None
        assert store.secret_key.get_secret_value() == "secret"

    def test_several_are_chosen_by_name_or_address(self) -> None:
        settings = load({}, self.environ | {"PGPROOF_STORE": "/backups, s3://bucket,file:///a%20b"})
        assert list(settings.stores) == ["main", "store2", "store3"]
        assert settings.store("store2").is_s3
        assert settings.store("/backups").endpoint is None
        assert settings.store("main").directory == Path("/backups")
        assert settings.store("store3").directory == Path("/a b")
        with pytest.raises(UsageError, match="there are several stores") as caught:
            settings.store()
        assert "store2 (s3://bucket)" in str(caught.value.hint)
        with pytest.raises(UsageError, match="there is no store 'other'"):
            settings.store("other")

    def test_none_is_said(self) -> None:
        with pytest.raises(ConfigurationError, match="no store is set"):
            load({}, {}).store()

    def test_the_environment_fills_what_the_file_leaves_out(self, yaml: Path) -> None:
        yaml.write_text(
            "stores:\n  a: {url: 's3://bucket', part_size: 32MiB}\n"
            "  b: {url: 's3://other', access_key: x, secret_key: y}\n  near: /backups\n"
        )
        settings = load({}, self.environ | {"PGPROOF_S3_SESSION_TOKEN": "t", "AWS_REGION": "r"}, file=yaml)
        a, b, near = (settings.store(name) for name in ("a", "b", "near"))
        assert (a.part_size, a.endpoint, a.region) == (32 * MIB, "http://minio:9000", "r")
        assert a.session_token is not None
        assert b.access_key is not None
        assert (b.access_key.get_secret_value(), b.session_token) == ("x", None)
        assert (near.endpoint, near.region) == (None, None)

    def test_the_environment_names_those_of_the_file_or_others(self, yaml: Path) -> None:
        yaml.write_text("stores: {near: /backups, far: {url: 's3://bucket', region: r}, main: /x}\n")
        settings = load({}, {"PGPROOF_STORE": "near,s3://bucket,/new"}, file=yaml)
        assert {name: store.url for name, store in settings.stores.items()} == {
            "near": "/backups",
            "far": "s3://bucket",
            "store3": "/new",
        }
        assert settings.store("far").region == "r"

    def test_an_address_on_the_command_line_takes_the_place_of_all(self) -> None:
        loaded = read({"stores": "s3://mine"}, self.environ | {"PGPROOF_STORE": "/a,/b"})
        assert [store.url for store in loaded.settings.stores.values()] == ["s3://mine"]
        assert loaded.settings.store().endpoint == "http://minio:9000"
        assert [origin.kind for path, origin in loaded.origins.items() if path[-1] == "url"] == ["flag"]

    def test_a_name_on_the_command_line_changes_nothing(self) -> None:
        settings = load({"stores": "store2"}, {"PGPROOF_STORE": "/a,/b"})
        assert settings.store("store2").url == "/b"

    def test_half_a_pair_of_keys_is_refused(self) -> None:
        said = refused({"PGPROOF_STORE": "s3://bucket", "PGPROOF_S3_ACCESS_KEY": "x"})
        assert said == ["stores.main: has only one of access_key and secret_key"]

    def test_a_volume_that_needs_too_many_parts_is_refused(self) -> None:
        said = refused({"PGPROOF_STORE": "s3://bucket", "PGPROOF_VOLUME_SIZE": "10GiB"})
        assert "needs more than 1000 parts of 5MiB" in said[0]
        assert load({}, {"PGPROOF_STORE": "/backups", "PGPROOF_VOLUME_SIZE": "10GiB"})

    def test_a_store_has_its_own_volume_size(self, yaml: Path) -> None:
        yaml.write_text("stores: {a: {url: /x, volume_size: 1MiB}, b: /y}\n")
        settings = load({}, {}, file=yaml)
        assert settings.volume_size(settings.store("a")) == MIB
        assert settings.volume_size(settings.store("b")) == settings.dump.volume_size


def test_every_leaf_is_described_and_named_once() -> None:
    names = [each.env.name for each in leaves() if each.env.name]
    assert len(names) == len(set(names))
    assert all(name.startswith("PGPROOF_") for name in names)
    assert all(each.description.endswith(".") for each in leaves())
    assert leaf("dump.zstd_level").shown_default == "1"
    with pytest.raises(KeyError):
        leaf("dump.no")


def test_settings_cannot_be_changed() -> None:
    loaded: Loaded = read({}, {})
    with pytest.raises(ValueError, match="frozen"):
        loaded.settings.target = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://backups", "backups", ""),
        ("s3://backups/", "backups", ""),
        ("s3://backups/shop", "backups", "shop"),
        ("s3://backups/shop/eu-1/", "backups", "shop/eu-1"),
        ("s3://my.old_Bucket/a b/100%", "my.old_Bucket", "a b/100%"),
    ],
)
def test_a_bucket_and_a_prefix_are_read(url: str, bucket: str, prefix: str) -> None:
    store = load({}, {"PGPROOF_STORE": url}).store()
    assert (store.bucket, store.prefix) == (bucket, prefix)


@pytest.mark.parametrize("url", ["s3://", "s3:///a", "backups", "https://backups/a", "s3://a/b", "s3://k:s@host/b"])
def test_what_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        load({}, {"PGPROOF_STORE": url})


@pytest.mark.parametrize("name", ["PGPROOF_VOLUME_SIZE", "PGPROOF_S3_PART_SIZE"])
def test_sizes_that_make_too_many_pieces_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        load({}, {"PGPROOF_STORE": "s3://backups", name: "1023KiB"})


def test_a_volume_of_the_usual_size_has_no_more_parts_than_every_server_takes() -> None:
    settings = load({}, {"PGPROOF_STORE": "s3://backups"})
    store = settings.store()
    assert (settings.volume_size(store), store.part_size) == (4 << 30, 5 << 20)
    assert settings.volume_size(store) / store.part_size <= MOST_PARTS == 1000
    environ = {"PGPROOF_STORE": "s3://backups", "PGPROOF_VOLUME_SIZE": "5001MiB"}
    with pytest.raises(ConfigurationError, match="more than 1000 parts"):
        load({}, environ)


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("100000 100000", 1), ("50000 100000", 1), ("150000 100000", 1), ("max 100000", None), ("", None)],
)
def test_no_more_cores_are_used_than_a_container_may(tmp_path: Path, limit: str, cores: int | None) -> None:
    usual = available_cores(tmp_path / "missing")
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert available_cores(tmp_path / "cpu.max") == (cores or usual)
    assert usual >= 1
