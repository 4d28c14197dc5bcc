"""Many browsers' worth of websocket clients, each of which checks that no point comes twice and none is missing.

python -m benchmarks.clients WS_ADDRESS N_CLIENTS SECONDS RUN_ID...      # prints one JSON line
"""

import asyncio
import json
import struct
import sys
import time
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

WARM_UP = 3.0  # seconds for the history
SIZES = {"f8": 8, "f4": 4}


def steps_of(frame: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header of a frame, and the steps of each run's new points."""
    (length,) = struct.unpack_from("<I", frame)
    header = json.loads(frame[4 : 4 + length])
    offset, steps = 4 + length, {}
    for run in header["runs"]:
        for name, kind in run["columns"]:
            if name == "step":
                steps[run["id"]] = np.frombuffer(frame, kind, run["n"], offset)
            offset += SIZES[kind] * run["n"]
    return header, steps


class Client:
    """One page's connection."""

    def __init__(self, runs: list[str]) -> None:
        self.runs = runs
        self.cursor = dict.fromkeys(runs, 0)
        self.step = dict.fromkeys(runs, 0.0)
        self.faults = 0
        self.counting = False
        self.frames = self.points = self.bytes = 0

    async def follow(self, address: str) -> None:
        """Receive and check until cancelled."""
        async with connect(address, max_size=None, compression=None) as socket:
            await socket.send(json.dumps({"sub": 1, "runs": self.runs, "spins": self.runs[0], "paused": False}))
            await self._receive(socket)

    async def _receive(self, socket: ClientConnection) -> None:
        async for frame in socket:
            assert isinstance(frame, bytes)
            header, steps = steps_of(frame)
            for run in header["runs"]:
                self.faults += run["from"] != self.cursor[run["id"]]
                self.cursor[run["id"]] = run["to"]
                new = steps[run["id"]]
                self.faults += not np.array_equal(new, self.step[run["id"]] + 1 + np.arange(len(new)))
                self.step[run["id"]] += len(new)
                self.points += self.counting * len(new)
            self.frames += self.counting
            self.bytes += self.counting * len(frame)
            await socket.send(json.dumps({"ack": header["frame"]}))


async def main(address: str, n_clients: str, seconds: str, *runs: str) -> None:
    clients = [Client(list(runs)) for _ in range(int(n_clients))]
    tasks = [asyncio.create_task(client.follow(address)) for client in clients]
    await asyncio.sleep(WARM_UP)
    start = time.monotonic()
    for client in clients:
        client.counting = True
    await asyncio.wait(tasks, timeout=float(seconds))
    lasted = time.monotonic() - start
    broken = sum(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    each = [
        {
            "points_per_curve_and_second": client.points / len(runs) / lasted,
            "frames_per_second": client.frames / lasted,
            "bytes_per_second": client.bytes / lasted,
            "faults": client.faults,
        }
        for client in clients
    ]
    sys.stdout.write(json.dumps({"clients": each, "broken": broken, "seconds": lasted}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
