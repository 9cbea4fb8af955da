"""`pgproof config`: show the settings in effect, or explain them all.

Owns nothing but the choice between the two; their look is `backup.settings.reference`.
"""

from __future__ import annotations

from backup.cli.options import Invocation, command, option
from backup.settings.leaves import Leaf, leaves
from backup.settings.reference import effective, effective_yaml, reference


@command("config")
@option("--reference", "explain", is_flag=True, envvar="PGPROOF_CONFIG_REFERENCE", help="Explain every setting.")
def config(invocation: Invocation, *, explain: bool) -> None:
    """Show the settings in effect and where each comes from; secrets are masked.

    Fails with a line for every mistake in flags, environment and file.
    """
    if explain:
        invocation.emit({"settings": [_described(each) for each in leaves()]}, reference())
        return
    loaded = invocation.loaded
    invocation.emit({"settings": effective(loaded), "warnings": loaded.warnings}, effective_yaml(loaded))


def _described(each: Leaf) -> dict[str, object]:
    return {
        "name": each.name,
        "environment": each.env.name,
        "description": each.description,
        "default": each.default,
        "secret": each.secret,
        "choices": each.choices,
    }
