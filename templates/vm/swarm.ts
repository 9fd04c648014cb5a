// The swarm's tools, for pi. Each call travels to the bot as pi's own host dialog and the bot does the work; this file
// knows names and shapes only. It imports nothing, so that every version of pi loads it.
//
//   out  extension_ui_request   {method: "input", title: "swarm", placeholder: JSON {id, tool, params}}
//   in   extension_ui_response  {value: JSON {ok, text}}

type Property = Record<string, unknown>;

const text = (description: string): Property => ({ type: "string", description });
const number = (description: string): Property => ({ type: "number", description });
const texts = (description: string): Property => ({ type: "array", items: { type: "string" }, description });

const TOOLS: { name: string; description: string; properties: Record<string, Property>; required: string[] }[] = [
  {
    name: "vers_swarm_spawn",
    description: "Start worker agents, each on a machine of its own branched from the golden image. They wait for a task.",
    properties: {
      count: number("How many workers. Three is the sweet spot."),
      labels: texts("A name for each worker, unique in this swarm: lower-case letters, digits and dashes."),
      commitId: text("Leave out: workers start from this swarm's golden image."),
      model: text("Leave out: workers use the configured model."),
    },
    required: ["count"],
  },
  {
    name: "vers_swarm_task",
    description:
      "Give a worker its task. The worker cannot read your files; your /root/workspace/SPEC.md is sent along whole. " +
      "Call it once per worker, all in one message.",
    properties: {
      agentId: text("The worker's label."),
      task: text("What this worker builds, which files it owns, and how it checks its work."),
    },
    required: ["agentId", "task"],
  },
  {
    name: "vers_swarm_status",
    description: "The state of every agent of the swarm, and what it is doing.",
    properties: {},
    required: [],
  },
  {
    name: "vers_swarm_read",
    description: "A worker's last words, its state and the files that it wrote.",
    properties: {
      agentId: text("The worker's label."),
      tail: number("Only the last so many characters of its words."),
    },
    required: ["agentId"],
  },
  {
    name: "vers_swarm_wait",
    description:
      "Wait for tasked workers. Returns when all have ended, when one fails, or after the time-out (at most 120 s), with a " +
      "table of states. Call it again while workers are still working.",
    properties: {
      agentIds: texts("The workers' labels; all tasked workers without it."),
      timeoutSeconds: number("At most 120, which is the default."),
    },
    required: [],
  },
  {
    name: "vers_swarm_collect",
    description:
      "Copy the files that workers made into your own workspace, directly from machine to machine. Use this instead of " +
      "reading a file and writing it again. Reports what came from whom, clashes, and what was refused.",
    properties: {
      agentIds: texts("The workers' labels; all workers without it."),
      paths: texts("Only these files or folders, relative to the workers' workspace."),
      destination: text("A folder below /root/workspace; the workspace itself without it."),
      prefer: text("Whose version wins where two workers made the same file."),
    },
    required: [],
  },
  {
    name: "vers_swarm_teardown",
    description: "Delete workers and their machines. Collect first: their files are gone afterwards.",
    properties: { agentIds: texts("The workers' labels; all workers without it.") },
    required: [],
  },
];

export default function (pi: any) {
  for (const { name, description, properties, required } of TOOLS) {
    pi.registerTool({
      name,
      label: name,
      description,
      parameters: { type: "object", properties, required },
      async execute(id: string, given: any, signal: any, _onUpdate: any, ctx: any) {
        const known = Object.entries(given ?? {}).filter(([key]) => key in properties);
        const call = JSON.stringify({ id, tool: name, params: Object.fromEntries(known) });
        const reply = await ctx.ui.input("swarm", call, { signal });
        if (reply === undefined) throw new Error("the call was cancelled");
        const { ok, text } = JSON.parse(reply);
        if (!ok) throw new Error(text);
        return { content: [{ type: "text", text }], details: {} };
      },
    });
  }
}
