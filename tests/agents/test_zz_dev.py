import time
from tests.agents.conftest import *
from tests.agents.test_swarm import turns, call, say, SPEC, AgentLabel
def test_x(world, build):
    world.model.scripts["a"]=turns([call("write", path="/root/workspace/SPEC.md", content=SPEC),call("bash",command="sleep 3")],[call("vers_swarm_spawn", count=2)],[call("vers_swarm_task",agentId="agent-1",task="@@w"),call("vers_swarm_task",agentId="agent-2",task="@@w")],[call("vers_swarm_wait")],[call("vers_swarm_collect")],[say("x")])
    world.model.scripts["w"]=turns([call("bash", command="echo 1 > /root/workspace/a; sleep 1")],[say("x")])
    run=world.new_run(); s=build(run); t=time.monotonic(); s.prepare(); print('prepare',time.monotonic()-t); 
    wall=time.time()
    o=s.build("@@a"); print('done', time.time()-wall)
    w = s._roster.watches()[0]
    for ran in w.progress.tool_runs: print(round(ran.started_s+w.clock_offset_s-wall,2), round(ran.ended_s-ran.started_s,2), ran.name)
