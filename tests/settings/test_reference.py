from __future__ import annotations

import re
from pathlib import Path

import yaml

from backup.settings import read
from backup.settings.leaves import leaves
from backup.settings.reference import effective, effective_yaml, reference


def test_the_reference_is_a_file_that_says_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "reference.yaml"
    file.write_text(reference())
    settings = read({}, {}, file=file).settings
    defaults = read({}, {"PGPROOF_STORE": "s3://bucket/prefix"}).settings
    assert settings == defaults


def test_the_reference_has_every_setting_and_variable() -> None:
    text = reference()
    for each in leaves():
        assert re.search(rf"^ *(# )?{each.path[-1]}(_file)?:", text, re.MULTILINE)
        assert each.env.name is None or each.env.name in text
        assert " ".join(each.description.split()) in re.sub(r"\s*\n\s*# ", " ", text)


def test_the_lines_of_the_reference_are_settings_when_uncommented(tmp_path: Path) -> None:
    text = re.sub(r"^( *)# (\w+_file): \S+$", r"\1\2: \2", reference(), flags=re.MULTILINE)
    head, webhook = text.split("  webhook:\n")
    webhook, ping = webhook.split("  ping:\n")
    ping = ping.replace(": pushgateway_file", ": hook_url")
    head = head.replace(": to_file", ": hook_url").replace(": pushgateway_file", ": hook_url")
    for name in re.findall(r": (\w+_file)$", text, re.MULTILINE):
        (tmp_path / name).write_text("host=x")
    (tmp_path / "tokens_file").write_text("a-token-of-sixteen-or-more")
    (tmp_path / "hook_url").write_text("https://hooks.test/T0")
    (tmp_path / "hook_secret").write_text(f"whsec_{'c2VjcmV0' * 4}")
    file = tmp_path / "reference.yaml"
    webhook = webhook.replace(": url_file", ": hook_url").replace(": secret_file", ": hook_secret")
    ping = ping.replace(": url_file", ": hook_url", 1)
    file.write_text(f"{head}  webhook:\n{webhook}  ping:\n{ping}")
    loaded = read({}, {}, file=file)
    assert {path[-1] for path, origin in loaded.origins.items() if origin.kind == "file"} >= {"url", "secret_key"}


def test_what_is_in_effect_is_yaml_with_sources_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "pgproof.yaml"
    file.write_text("stores: {main: {url: 's3://bucket', access_key: AKIAX, secret_key: hunter2}}\ntarget: shop\n")
    environ = {"PGPROOF_DATABASE_URL": "postgresql://u:hunter2@h/d", "PGPROOF_GLOBALS": "off"}
    loaded = read({"dump.zstd_level": "3"}, environ, file=file, flag_names={"dump.zstd_level": "--zstd-level"})
    text = effective_yaml(loaded)
    tree = yaml.safe_load(text)
    assert tree["dump"]["zstd_level"] == 3
    assert tree["dump"]["globals"] == "off"
    assert tree["dump"]["volume_size"] == "4GiB"
    assert tree["stores"]["main"]["secret_key"] == tree["database"]["url"] == "********"
    assert "hunter2" not in text
    assert "AKIAX" not in text
    assert re.search(r"zstd_level: 3 +# flag: --zstd-level$", text, re.MULTILINE)
    assert re.search(rf"target: shop +# file: {file}$", text, re.MULTILINE)
    assert re.search(r"globals: \"off\" +# environment: PGPROOF_GLOBALS$", text, re.MULTILINE)
    assert re.search(r"engine: pgdump +# default$", text, re.MULTILINE)
    assert {"name": "target", "value": "shop", "source": f"file: {file}"} in effective(loaded)
