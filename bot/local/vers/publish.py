"""Loopback ports for guests' ports: what an ordinary browser opens, as it would the machine's public address."""

import socket
import threading

from bot.local.vers.conditions import Conditions
from bot.local.vers.front import Dial, Listener
from bot.local.vers.machine import Machine
from bot.local.vers.relay import Plain, pump


class Publications:
    """One loopback port per machine and guest port, closed when the machine goes."""

    def __init__(self, dial: Dial, conditions: Conditions) -> None:
        self._dial, self._conditions = dial, conditions
        self._lock = threading.Lock()
        self._listeners: dict[tuple[str, int], Listener] = {}

    def publish(self, machine: Machine, port: int) -> str:
        """The address of a guest's port; the same one whenever it is asked for."""

        def serve(connection: socket.socket) -> None:
            pump(Plain(connection), Plain(self._dial(machine, port, connection)))

        with self._lock:
            listener = self._listeners.get((machine.id, port))
            if listener is None:
                listener = self._listeners[machine.id, port] = Listener(serve, self._conditions)
        return f"http://127.0.0.1:{listener.port}"

    def withdraw(self, machine: Machine) -> None:
        """Close all ports of a machine."""
        with self._lock:
            gone = [key for key in self._listeners if key[0] == machine.id]
            listeners = [self._listeners.pop(key) for key in gone]
        for listener in listeners:
            listener.stop()

    def stop(self) -> None:
        """Close all ports."""
        with self._lock:
            listeners = list(self._listeners.values())
            self._listeners.clear()
        for listener in listeners:
            listener.stop()
