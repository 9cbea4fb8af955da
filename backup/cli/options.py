"""Options that commands share, and what a command is given: an `Invocation`.

Owns how an option becomes a setting. Every option shows its environment variable. How a command is written:

    '''`pgproof list`: show the backups of a store.'''     # after the colon: its line in `pgproof --help`

    @command("list")
    @setting_option("dump.zstd_level", "--zstd-level")     # a setting: help, default, environment from the model
    @option("--all", "everything", is_flag=True, envvar="PGPROOF_LIST_ALL", help="Of every target.")
    def list_backups(invocation: Invocation, *, everything: bool) -> None:
        '''Show the backups of a store, the newest first.'''
        settings, store = invocation.settings, invocation.store   # read, and logs set up, at first use
        ...
        invocation.emit(result, Table(columns=("id", "size"), rows=rows, right={"size"}))

The value of a setting option is in `invocation.settings`; a plain option or `@click.argument` comes as keyword.
`@command` adds --config, --target, --store, --json, --log-format and -v. With --json, `emit` prints `result` as
JSON, else the view (see `output`). Failures are raised, never printed. A secret has no option.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from click.core import ParameterSource

from backup import logs
from backup.cli.commands import option_variables, short_help
from backup.cli.output import View, print_json, show
from backup.settings import Loaded, Settings, StoreSettings, read
from backup.settings.leaves import Leaf, leaf

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., object])
_FLAGS = "backup.cli.flags"
_FLAG_NAMES = "backup.cli.flag_names"
_STORES = "stores"


class Invocation:
    """One call of a command.

    Args:
        flags: values of setting options, by name of the setting; `stores` for what --store said.
        flag_names: how the user writes them.
        config: the YAML file.
        json: results and errors are JSON.
    """

    def __init__(
        self, *, flags: dict[str, object], flag_names: dict[str, str], config: Path | None = None, json: bool = False
    ) -> None:
        self._flags = flags
        self._flag_names = flag_names
        self._config = config
        self.json = json

    @cached_property
    def loaded(self) -> Loaded:
        """The settings and where they come from; logs follow them from here on.

        Raises:
            ConfigurationError: with every problem.
        """
        loaded = read(
            self._flags,
            os.environ,
            file=self._config,
            flag_names=self._flag_names,
            more_known=option_variables,
        )
        log = loaded.settings.log
        logs.setup(format=log.format, verbose=log.verbose, secrets=loaded.settings.secrets())
        for warning in loaded.warnings:
            logs.log.warning(warning)
        return loaded

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.loaded.settings

    @property
    def store(self) -> StoreSettings:
        """The store that was chosen, or the only one.

        Raises:
            ConfigurationError: there is none.
            UsageError: there is no such, or there are several.
        """
        choice = self._flags.get(_STORES)
        return self.settings.store(None if choice is None else str(choice))

    def other_store(self, address: str) -> StoreSettings:
        """A store at an address that the settings do not name, with what the environment says of its kind.

        Raises:
            ConfigurationError: it is no address.
        """
        flags = {**self._flags, _STORES: address}
        return read(flags, os.environ, file=self._config, flag_names=self._flag_names).settings.store()

    @property
    def words(self) -> tuple[str, ...]:
        """What of this call says which settings these are, as it is written: for a process that is to have the same."""
        said = {"--config": self._config, "--target": self._flags.get("target"), "--store": self._flags.get(_STORES)}
        return tuple(f"{name}={value}" for name, value in said.items() if value is not None)

    def is_said(self, name: str) -> bool:
        """Whether a flag of this call says a setting."""
        return name in self._flags

    @property
    def stores(self) -> tuple[StoreSettings, ...]:
        """The store that was chosen, or all of them. Raises what `store` raises, but for there being several."""
        choice = self._flags.get(_STORES)
        return self.settings.chosen_stores(None if choice is None else str(choice))

    def emit(self, result: object, view: View | None = None) -> None:
        """Print a result on stdout: as JSON where that was asked for, else `view`, else its fields."""
        if self.json:
            print_json(result)
        else:
            show(result if view is None else view)


class SettingOption(click.Option):
    """An option that sets a leaf of the settings; what it was given goes to the Invocation, checked there."""

    def __init__(self, declarations: tuple[str, ...], setting: Leaf, *, key: str, text: str) -> None:
        flag = setting.shape == "bool"
        several = setting.shape in {"list", "map"}
        kind: dict[str, Any] = {"is_flag": True} if flag else {"type": str, "metavar": _metavar(setting)}
        if setting.choices:
            kind = {"type": click.Choice(setting.choices)}
        super().__init__(
            declarations, help=text, default=None, expose_value=False, multiple=several, callback=self._collect, **kind
        )
        self.setting = setting
        self._key = key

    def _collect(self, ctx: click.Context, _parameter: click.Parameter, value: object) -> object:
        if self.name and ctx.get_parameter_source(self.name) is ParameterSource.COMMANDLINE:
            ctx.meta.setdefault(_FLAGS, {})[self._key] = value
            ctx.meta.setdefault(_FLAG_NAMES, {})[self._key] = max(self.opts, key=len)
        return value

    def get_help_extra(self, ctx: click.Context) -> Any:  # noqa: ANN401, ARG002 -- click does not publish the type
        """The environment name and the default, for the help text."""
        extra: dict[str, object] = {}
        if self.setting.env.name:
            extra["envvars"] = (self.setting.env.name,)
        if self.setting.shown_default:
            extra["default"] = self.setting.shown_default
        return extra


def setting_option(name: str, *declarations: str, text: str | None = None) -> Callable[[F], F]:
    """An option for the setting `name`; its help comes from the model unless `text` says it better."""
    setting = leaf(name)
    if setting.secret:
        raise ValueError(f"{name} is a secret: every user of the machine can read a command line")
    return _attach(lambda: SettingOption(declarations, setting, key=name, text=text or setting.description))


def option(*declarations: str, envvar: str, **attributes: Any) -> Callable[[F], F]:  # noqa: ANN401 -- click's own
    """An option that is no setting; it still has its environment variable."""
    return click.option(*declarations, envvar=envvar, show_envvar=True, **attributes)


def command(name: str) -> Callable[[Callable[Concatenate[Invocation, P], None]], click.Command]:
    """Make a command of a function, with the common options; it is given the Invocation and its own options."""

    def decorate(function: Callable[Concatenate[Invocation, P], None]) -> click.Command:
        @click.pass_context
        def call(ctx: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> None:
            config, json = kwargs.pop("config"), kwargs.pop("json")
            invocation = Invocation(
                flags=ctx.meta.get(_FLAGS, {}),
                flag_names=ctx.meta.get(_FLAG_NAMES, {}),
                config=config if isinstance(config, Path) else None,
                json=bool(json),
            )
            function(invocation, *args, **kwargs)

        own: list[click.Parameter] = list(reversed(getattr(function, "__click_params__", [])))
        return click.Command(
            name,
            callback=call,
            params=[*own, *_common()],
            help=function.__doc__,
            short_help=short_help(name),
        )

    return decorate


def _common() -> list[click.Parameter]:
    return [
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            envvar="PGPROOF_CONFIG",
            show_envvar=True,
            help="Settings as YAML; pgproof config --reference explains it.",
        ),
        SettingOption(("--target",), leaf("target"), key="target", text="Name of what is backed up."),
        SettingOption(("--store",), leaf("stores.*.url"), key=_STORES, text="Name or address of the store."),
        click.Option(
            ["--json"],
            is_flag=True,
            envvar="PGPROOF_JSON",
            show_envvar=True,
            help="Results and errors on stdout as JSON.",
        ),
        SettingOption(("--log-format",), leaf("log.format"), key="log.format", text="How events on stderr look."),
        SettingOption(("-v", "--verbose"), leaf("log.verbose"), key="log.verbose", text="Tell every step."),
    ]


def _attach(make: Callable[[], click.Parameter]) -> Callable[[F], F]:
    """Add a parameter to a function, as click's own decorators do."""

    def decorate(function: F) -> F:
        parameters: list[click.Parameter] = function.__dict__.setdefault("__click_params__", [])
        parameters.append(make())
        return function

    return decorate


def _metavar(setting: Leaf) -> str:
    if setting.name == "stores.*.url":
        return "NAME|URL"
    return {"int": "NUMBER", "size": "SIZE", "map": "NAME=VALUE", "list": "PATTERN"}.get(setting.shape, "TEXT")
