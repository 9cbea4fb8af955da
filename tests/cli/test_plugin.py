"""`kubectl pgproof` as a process, against a Kubernetes API over HTTP in which a test plays the cluster's part."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup.cli.commands import PLUGIN_TABLE
from tests.kube.api_server import Answer, Api, Object, running_api
from tests.kube.running_job import SECOND, add_pod, end_job, end_pod, run_through
from tests.support.command import Finished, Running

LABELS = {"app.kubernetes.io/name": "pgproof", "app.kubernetes.io/instance": "shop"}
EVENT = '{"event": "this backup cannot be used", "level": "warning", "time": "2026-11-22T08:00:00Z"}'
NO_BACKUP = "pgproof: error: no backup of shop in s3://backups\nhint: pgproof backup makes one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """The installed script, and where it is started."""

    home: Path
    kubeconfig: Path

    def start(self, *arguments: str, **environ: str) -> Running:
        """Start it."""
        script = Path(sys.executable).parent / "kubectl-pgproof"  # not resolved: of this environment
        own = {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig)}
        return Running([str(script), *arguments], {**own, **environ}, cwd=self.home, before=())

    def __call__(self, *arguments: str, **environ: str) -> Finished:
        """Run it to its end."""
        with self.start(*arguments, **environ) as running:
            return running.finish()


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api() as api:
        for component, status in (
            ("backup", {"lastScheduleTime": "2026-11-22T08:00:00Z", "lastSuccessfulTime": "2026-11-22T08:00:09Z"}),
            ("restore", {}),
        ):
            labels = {**LABELS, "app.kubernetes.io/component": component}
            container = {"name": "pgproof", "args": [component], "env": []}
            job = {"metadata": {"labels": labels}, "spec": {"template": {"spec": {"containers": [container]}}}}
            spec = {"schedule": "0 * * * *", "timeZone": "Etc/UTC", "suspend": False, "jobTemplate": job}
            api.add("cronjobs", f"shop-{component}", labels=labels, spec=spec, status=status)
        yield api


@pytest.fixture
def plugin(api: Api, tmp_path: Path) -> Plugin:
    return Plugin(home=tmp_path, kubeconfig=api.kubeconfig(tmp_path))


def runs(api: Api, code: int, lines: Sequence[str], said: str = "") -> None:
    """Each Job that is made runs like this."""
    api.on_job = lambda job: run_through(api, job, code, lines, said)


def container_of(job: Object) -> Object:
    """What the only container of a Job is."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container)


class TestCommandLine:
    @pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]], ids=["nothing", "--help", "-h"])
    def test_help_lists_the_commands(self, plugin: Plugin, arguments: list[str]) -> None:
        ran = plugin(*arguments)
        assert (ran.code, ran.stderr) == (0, "")
        assert "kubectl pgproof" in ran.stdout
        assert all(f"\n  {name} " in ran.stdout for name in PLUGIN_TABLE)

    @pytest.mark.parametrize("name", PLUGIN_TABLE)
    def test_each_command_has_help(self, api: Api, plugin: Plugin, name: str) -> None:
        ran = plugin(name, "--help")
        assert (ran.code, ran.stderr) == (0, "")
        assert ran.stdout.startswith(f"Usage: kubectl pgproof {name} ")
        assert "--release" in ran.stdout
        assert api.requests == []

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["bakup"], "no such command 'bakup'"),
            (["status", "--wrong"], "no such option '--wrong'"),
            (["restore"], "missing argument 'BACKUP'"),
            (["backup", "--start-within", "0"], "invalid value for '--start-within'"),
        ],
    )
    def test_a_wrong_command_line_is_2(self, plugin: Plugin, arguments: list[str], message: str) -> None:
        ran = plugin(*arguments)
        assert (ran.code, ran.stdout) == (2, "")
        assert ran.complaint.startswith(message)
        assert ran.hint.startswith("kubectl pgproof")

    @pytest.mark.parametrize("command", ["status", "backup", "list", "restore", "logs"])
    def test_a_failure_is_one_json_object_too(self, plugin: Plugin, command: str) -> None:
        more = ["latest"] if command == "restore" else []
        ran = plugin(command, *more, "--json", "--release", "shpo")
        assert (ran.code, ran.error["code"], ran.error["exit_code"]) == (9, "not_found", 9)
        assert ran.error["message"] == ran.complaint == "there is no release shpo of pgproof in the namespace prod"

    def test_options_have_variables(self, plugin: Plugin) -> None:
        assert "no release shpo" in plugin("status", PGPROOF_KUBE_RELEASE="shpo").complaint
        assert "in the namespace other" in plugin("status", PGPROOF_KUBE_NAMESPACE="other").complaint
        assert "no context there" in plugin("status", PGPROOF_KUBE_CONTEXT="there").complaint
        assert "of stock" in plugin("backup", PGPROOF_KUBE_DATABASE="stock").complaint

    def test_without_a_cluster_it_is_said_which_setting_is_missing(self, plugin: Plugin) -> None:
        ran = plugin("status", KUBECONFIG="/nowhere")
        assert (ran.code, ran.complaint) == (3, "no cluster is set")
        assert "KUBECONFIG" in ran.hint


class TestStatus:
    @pytest.fixture(autouse=True)
    def jobs(self, api: Api) -> None:
        labels = {**LABELS, "app.kubernetes.io/component": "backup"}
        for name in ("good", "bad", "stuck"):
            api.add("jobs", name, labels=labels)
        run_through(api, "good", 0, [], "20261122T080000Z stored")
        run_through(api, "bad", 4, [], "pgproof: error: db does not answer\nhint: wait")
        add_pod(api, "stuck-pod", job="stuck", phase="Pending")

    def test_it_shows_schedules_and_how_the_last_jobs_ended(self, plugin: Plugin) -> None:
        ran = plugin("status")
        assert (ran.code, ran.stderr) == (0, "")
        head, schedules, jobs = ran.stdout.split("\n\n")
        assert head == "shop in prod"
        assert schedules.splitlines()[1].split("  ") == [
            "shop-backup",
            "0 * * * * Etc/UTC",
            "2026-11-22 08:00:00Z",
            "2026-11-22 08:00:09Z",
        ]
        stuck, bad, good = (line.split() for line in jobs.splitlines()[1:])
        assert (good[0], good[3:]) == ("good", ["30", "min", "0", "s", "good", "20261122T080000Z", "stored"])
        assert (bad[0], bad[3:]) == (
            "bad",
            ["30", "min", "0", "s", "exit", "code", "4", "pgproof:", "error:", "db", "does", "not", "answer"],
        )
        assert stuck == ["stuck", "waiting", "ImagePullBackOff:", "no", "such", "image"]

    def test_its_json_has_the_same(self, plugin: Plugin) -> None:
        found = plugin("status", "--json").result
        assert (found["release"], found["namespace"]) == ("shop", "prod")
        assert found["schedules"] == [
            {
                "cronjob": "shop-backup",
                "database": "default",
                "schedule": "0 * * * *",
                "time_zone": "Etc/UTC",
                "suspended": False,
                "last_scheduled": "2026-11-22T08:00:00Z",
                "last_successful": "2026-11-22T08:00:09Z",
            }
        ]
        assert [(job["job"], job["condition"], job["exit_code"]) for job in found["jobs"]] == [
            ("stuck", "Running", None),
            ("bad", "Failed", 4),
            ("good", "Complete", 0),
        ]
        assert found["jobs"][2] == {
            "job": "good",
            "component": "backup",
            "started": "2026-11-22T08:30:00Z",
            "ended": "2026-11-22T09:00:00Z",
            "condition": "Complete",
            "exit_code": 0,
            "outcome": "20261122T080000Z stored",
        }


class TestBackup:
    def test_a_good_one_shows_its_log_and_its_outcome(self, api: Api, plugin: Plugin) -> None:
        runs(api, 0, ["backup started", "backup stored"], "20261122T080000Z stored")
        ran = plugin("backup")
        (job,) = api.names("jobs")
        assert ran.code == 0
        assert ran.stdout == f"job      {job}\noutcome  20261122T080000Z stored\n"
        assert ran.stderr.splitlines()[1:] == ["backup started", "backup stored"]
        assert f"job={job}" in ran.stderr.splitlines()[0]

    @pytest.mark.parametrize("code", [4, 9, 137])
    def test_a_bad_one_ends_with_the_code_of_its_job(self, api: Api, plugin: Plugin, code: int) -> None:
        runs(api, code, ["pgproof: error: it failed"], "pgproof: error: it failed")
        ran = plugin("backup")
        assert (ran.code, ran.stdout, ran.complaint) == (code, "", "it failed")
        (job,) = api.names("jobs")
        outcome = {"namespace": "prod", "exit_code": code, "outcome": "pgproof: error: it failed"}
        assert plugin("logs", "--follow", "--json", job).result == {"job": job, **outcome}

    def test_detached_it_is_only_made(self, api: Api, plugin: Plugin) -> None:
        ran = plugin("backup", "--detach")
        assert (ran.code, ran.stdout, ran.stderr) == (0, f"{api.names('jobs')[0]}\n", "")
        again = plugin("backup", "--json", PGPROOF_KUBE_DETACH="1")
        assert again.result == {"job": api.names("jobs")[1], "namespace": "prod"}

    def test_ctrl_c_ends_the_following_and_not_the_job(self, api: Api, plugin: Plugin) -> None:
        api.on_job = lambda job: add_pod(api, "p", job=job).write(f"{SECOND}.1Z", "backup started")
        with plugin.start("backup") as running:
            running.wait_for(lambda: api.asked("GET", "/log"))
            running.signal(signal.SIGINT)
            ran = running.finish()
        (job,) = api.names("jobs")
        assert (ran.code, ran.stdout, ran.complaint) == (130, "", "stopped by SIGINT")
        assert ran.hint == f"the job goes on: kubectl pgproof logs --follow {job} --namespace prod\n"

    def test_a_pod_that_does_not_start_is_given_up_on(self, api: Api, plugin: Plugin) -> None:
        api.on_job = lambda job: add_pod(api, "p", job=job, phase="Pending")
        ran = plugin("backup", "--start-within", "1", "--json")
        assert (ran.code, ran.error["code"], ran.error["detail"]) == (
            15,
            "job_not_run",
            "ImagePullBackOff: no such image",
        )


class TestRestore:
    def test_all_its_options_are_handed_on(self, api: Api, plugin: Plugin) -> None:
        runs(api, 0, [], "restored")
        words = ["--table", "public.a", "--table", "b", "--in-place", "--confirm", "shop", "--no-safety-backup"]
        words += ["--no-owner", "--no-privileges", "--dry-run"]
        assert plugin("restore", "2026-11-22 08:00", "--into", "shop_back", *words).code == 0
        (job,) = api.names("jobs")
        assert job.startswith("shop-restore-")
        said = container_of(api.objects["jobs", job])["args"]
        assert said[:2] == ["restore", "2026-11-22 08:00"]
        assert sorted(said[2:]) == sorted(["--into", "shop_back", *words])

    def test_without_options_it_is_the_backup_alone(self, api: Api, plugin: Plugin) -> None:
        runs(api, 9, [NO_BACKUP], NO_BACKUP)
        ran = plugin("restore", "latest")
        assert (ran.code, ran.stdout) == (9, "")
        assert container_of(api.objects["jobs", api.names("jobs")[0]])["args"] == ["restore", "latest"]


class TestList:
    def test_the_result_is_told_from_events_and_the_job_is_gone(self, api: Api, plugin: Plugin) -> None:
        made: list[Object] = []

        def run(job: str) -> None:
            made.append(api.objects["jobs", job])
            run_through(api, job, 0, ["id  target", EVENT, "20261122T080000Z  shop"])

        api.on_job = run
        ran = plugin("list")
        assert (ran.code, ran.stdout, ran.stderr) == (0, "id  target\n20261122T080000Z  shop\n", f"{EVENT}\n")
        assert container_of(made[0])["args"] == ["list"]
        assert container_of(made[0])["env"] == [{"name": "PGPROOF_LOG_FORMAT", "value": "json"}]
        assert plugin("list", "--all", "--limit", "0", "--json").code == 0
        assert container_of(made[1])["args"] == ["list", "--all", "--limit", "0", "--json"]
        assert api.names("jobs") == []

    def test_any_other_command_is_run_with_its_options_and_the_job_is_gone(self, api: Api, plugin: Plugin) -> None:
        made: list[Object] = []

        def run(job: str) -> None:
            made.append(api.objects["jobs", job])
            run_through(api, job, 0, ["20261122T080000Z is accepted in s3://backups"])

        api.on_job = run
        ran = plugin("run", "--", "accept", "20261122T080000Z", "--reason", "as it should be")
        assert (ran.code, ran.stdout) == (0, "20261122T080000Z is accepted in s3://backups\n")
        assert container_of(made[0])["args"] == ["accept", "20261122T080000Z", "--reason", "as it should be"]
        assert api.names("jobs") == []

    def test_a_failure_is_told_and_the_job_is_gone(self, api: Api, plugin: Plugin) -> None:
        runs(api, 9, [EVENT, *NO_BACKUP.splitlines()], NO_BACKUP)
        ran = plugin("list")
        assert (ran.code, ran.stdout, ran.stderr) == (9, "", f"{EVENT}\n{NO_BACKUP}\n")
        assert api.names("jobs") == []

    def test_a_failure_in_the_cluster_is_one_json_object_too(self, api: Api, plugin: Plugin) -> None:
        """The pod's log has its words and its JSON in any order."""
        words, found = NO_BACKUP.splitlines(), {"error": {"code": "not_found", "exit_code": 9}}
        first, *rest = json.dumps(found, indent=2).splitlines()
        runs(api, 9, [words[0], first, EVENT, words[1], *rest], NO_BACKUP)
        ran = plugin("list", "--json")
        assert (ran.code, ran.result) == (9, found)
        assert ran.stderr.splitlines() == [words[0], EVENT, words[1]]

    def test_a_pod_that_was_killed_prints_no_half_result(self, api: Api, plugin: Plugin) -> None:
        runs(api, 137, ["{", '  "backups": ['])
        ran = plugin("list", "--json")
        assert (ran.code, ran.stdout) == (137, "")
        assert api.names("jobs") == []

    @pytest.mark.parametrize("how", ["ctrl-c", "deadline"])
    def test_the_job_is_gone_whatever_ends_the_question(self, api: Api, plugin: Plugin, how: str) -> None:
        def begin(job: str) -> None:
            if how == "deadline":
                end_job(api, "Failed", "DeadlineExceeded", job=job)
            else:
                add_pod(api, "p", job=job)

        api.on_job = begin
        with plugin.start("list") as running:
            if how == "ctrl-c":
                running.wait_for(lambda: api.asked("GET", "/log"))
                running.signal(signal.SIGINT)
            ran = running.finish()
        assert ran.code == {"ctrl-c": 130, "deadline": 15}[how]
        assert api.names("jobs") == []
        assert api.asked("DELETE", "") == [{"propagationPolicy": "Background"}]

    def test_without_the_right_to_delete_the_answer_is_shown_and_the_job_that_stays_is_named(
        self, api: Api, plugin: Plugin
    ) -> None:
        runs(api, 0, ["id"])
        said = 'jobs.batch is forbidden: User "me" cannot delete resource "jobs"'
        api.answers["DELETE", "jobs"] = Answer.refusal(403, said)
        ran = plugin("list")
        assert (ran.code, ran.stdout) == (0, "id\n")
        assert f"no right to delete the job {api.names('jobs')[0]} in prod" in ran.stderr


class TestLogs:
    @pytest.fixture(autouse=True)
    def jobs(self, api: Api) -> None:
        for name in ("shop-backup-1", "shop-backup-2"):
            api.add("jobs", name, labels=LABELS)
            run_through(api, name, 6, [f"from {name}", "pgproof: error: gone"], "pgproof: error: gone")

    def test_without_a_name_it_is_the_newest(self, plugin: Plugin) -> None:
        ran = plugin("logs")
        assert (ran.code, ran.stdout, ran.stderr) == (0, "from shop-backup-2\npgproof: error: gone\n", "")

    @pytest.mark.parametrize("name", ["shop-backup-1", "job/shop-backup-1"])
    def test_with_a_name_it_is_that_one(self, plugin: Plugin, name: str) -> None:
        assert plugin("logs", name).stdout.startswith("from shop-backup-1\n")
        lines = ["from shop-backup-1", "pgproof: error: gone"]
        assert plugin("logs", name, "--json").result == {"job": "shop-backup-1", "namespace": "prod", "lines": lines}

    def test_followed_it_ends_with_the_code_of_the_job(self, api: Api, plugin: Plugin) -> None:
        api.add("jobs", "shop-backup-3", labels=LABELS)
        add_pod(api, "p", job="shop-backup-3").write(f"{SECOND}.1Z", "first")
        with plugin.start("logs", "-f") as running:
            running.wait_for(lambda: api.asked("GET", "/log"))
            api.log("p").write(f"{SECOND}.2Z", "last")
            end_job(api, "Failed", job="shop-backup-3")
            end_pod(api, "p", 6)
            ran = running.finish()
        assert (ran.code, ran.stdout, ran.stderr) == (6, "first\nlast\n", "")

    def test_an_unknown_name_is_told_those_there_are(self, api: Api, plugin: Plugin) -> None:
        ran = plugin("logs", "nobody")
        assert (ran.code, ran.complaint) == (9, "the release shop has no job nobody")
        assert ran.hint == "there is shop-backup-2, shop-backup-1\n"
        api.objects = {key: each for key, each in api.objects.items() if key[0] == "cronjobs"}
        assert plugin("logs").hint == "kubectl pgproof backup makes one\n"
