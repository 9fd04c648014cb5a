"""What an agent can reach from its machine in a running build: two loopback ports, and nothing with another's bearer."""

import shlex

from bot.core.models import VmId
from bot.vms.base import Shell
from tests.waiting import wait_until
from tests.walk.conftest import Walk

_ASK = """curl -s -o /dev/null -w '%{http_code}' -m 10 -H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' \
-H @- -d '{"model": "claude-sonnet-5", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}' \
http://127.0.0.1:8899/v1/messages"""


def _as_agent(shell: Shell, command: str, stdin: bytes = b"") -> str:
    done = shell.run(
        f"runuser -u agent -- bash -c {shlex.quote(command)}", stdin=stdin, check=False, timeout_s=60
    )
    return done.text.strip()


def _status(shell: Shell, bearer: str) -> str:
    return shell.run(_ASK, stdin=f"x-api-key: {bearer}".encode(), check=False, timeout_s=60).text


def test_a_machine_reaches_two_ports_and_no_bearer_but_its_own_opens_one(walk: Walk) -> None:
    """No name resolves, no address answers, the architect's bearer is worth nothing on a worker's machine."""
    number = walk.open("multiplayer-snake.md")
    with walk.pace(150):
        walk.label(number)
        run = walk.run_of(number)

        def machines() -> dict[str, VmId] | None:
            found = {row.agent: row.vm for row in walk.stores.fleet.agents(run) if row.vm and row.tasks}
            return found if {"architect", "client"} <= set(found) else None

        vms = wait_until(machines, 90, "the client works")
        architect, client = walk.shell(vms["architect"]), walk.shell(vms["client"])
        try:
            bearer = architect.read_file("/var/lib/swarm/bearer").decode().strip()
            own = client.read_file("/var/lib/swarm/bearer").decode().strip()
            assert _status(client, own) == "200"
            assert _status(client, bearer) == "401"
            assert _status(client, "sk-ant-local-scripted-model") == "401"
            assert "NONE" in _as_agent(client, "getent hosts registry.npmjs.org || echo NONE")
            address = walk.metadata(vms["architect"]).ip
            for target in (f"[{address}]:22", "192.0.2.1:80", "[2001:db8::1]:80"):
                assert "DEAD" in _as_agent(
                    client, f"curl -s --noproxy '*' -m 3 http://{target}/ || echo DEAD"
                ), target
            listening = _as_agent(client, "ss -Hltn | awk '{print $4}'").split()
            assert {each.rsplit(":", 1)[1] for each in listening} == {"22", "8898", "8899"}
            proxy = _as_agent(
                client,
                "curl -s -m 10 -o /dev/null -w '%{http_code}' -x http://127.0.0.1:8898 http://example.com/",
            )
            assert proxy == "403"
        finally:
            architect.close(), client.close()
        walk.person("alice").comment("acme/arcade", number, "/swarm stop")
    walk.ended(run, 30)
    assert walk.stores.usage.spender(own) is None, "its bearer died with the build"
