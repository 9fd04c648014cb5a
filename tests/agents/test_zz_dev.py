import statistics
import time

from tests.agents.conftest import *


def test_x(world, golden):
    (vm,) = world.provider.branch(golden)
    sh = world.connect(vm)
    sh.run("touch /var/lib/swarm/x")
    lat = []
    sh.run(
        "nohup bash -c 'for i in $(seq 20); do date +%s.%N >> /var/lib/swarm/x; sleep 0.237; done' >/dev/null 2>&1 &"
    )
    for c in sh.follow("/var/lib/swarm/x", 0, idle_s=1):
        if c:
            for l in c.split():
                lat.append(time.time() - float(l))
        if len(lat) >= 18:
            break
    print("latency", statistics.median(lat), max(lat))
    world.provider.delete(vm)
