"""`cicd status`."""

from __future__ import annotations

import click

from cicd.cli.settings import Settings, common, pass_settings


@click.command()
@common
@pass_settings
def status(settings: Settings) -> None:
    """Is the master there, and what is it?"""
    from cicd.cli.output import when
    from cicd.cli.pages import all_minions, runs_page
    from cicd.clock import SystemClock
    from cicd.messages.client import Status, StatusAnswer
    from cicd.messages.cluster import Availability, Connection

    with settings.client() as client:
        answer = client.ask(Status(), StatusAnswer)
        if settings.as_json:
            settings.out.json(answer)
            return
        minions = all_minions(client)
        active = runs_page(client, active=True).runs
    ready = sum(view.connection is Connection.READY for view in minions)
    numbers = {
        "unhealthy": sum(bool(view.health) for view in minions),
        "suspended": sum(view.minion.availability is Availability.SUSPENDED for view in minions),
        "draining": sum(view.minion.draining for view in minions),
    }
    more = "".join(f", {number} {word}" for word, number in numbers.items() if number)
    settings.out.fields(
        [
            ("master", f"{client.address} (version {answer.version})"),
            ("started", when(settings.out, answer.started_s, SystemClock().wall_s())),
            ("operator", answer.operator),
            ("data", answer.data_dir),
            ("minions", f"{ready} of {len(minions)} ready{more}"),
            ("active runs", f"{len(active)}"),
            ("dropped", ", ".join(f"{reason} {number}" for reason, number in sorted(answer.dropped.items()))),
            *((f"{name} address", address) for name, address in sorted(answer.endpoints.items())),
        ]
    )
    if not minions:
        settings.out.note("no minion has joined yet: 'cicd tokens create' makes what one joins with")
