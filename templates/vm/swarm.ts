// The swarm's tools, for pi. The bot does the work; this file knows names and shapes only. Of pi it needs the factories of
// its own tools, under the name that every version resolves.
//
// On a machine of a swarm each call travels to the bot as pi's own host dialog:
//   out  extension_ui_request   {method: "input", title: "swarm", placeholder: JSON {id, tool, params}}
//   in   extension_ui_response  {value: JSON {ok, text}}
// On a person's computer `swarm-bot pi install` writes beside this file, in installed.json, which `command` does the work.
// It speaks JSON lines on its standard streams:
//   in   {id, tool, params}, {id, cancel: true}
//   out  {id, ok, text}

type Property = Record<string, unknown>;

const text = (description: string): Property => ({ type: "string", description });
const number = (description: string): Property => ({ type: "number", description });
const truth = (description: string): Property => ({ type: "boolean", description });
const texts = (description: string): Property => ({ type: "array", items: { type: "string" }, description });

const VM = text("The machine's id, or the label of the agent that lives there.");

const TOOLS: { name: string; description: string; properties: Record<string, Property>; required: string[] }[] = [
  {
    name: "vers_swarm_spawn",
    description: "Start worker agents, each on a machine of its own branched from the golden image. They wait for a task.",
    properties: {
      count: number("How many workers. Three is the sweet spot."),
      labels: texts("A name for each worker, unique in this swarm: lower-case letters, digits and dashes."),
      commitId: text("A snapshot that you made with vers_vm_commit; this swarm's golden image without it."),
      model: text("Another model for these workers, if this swarm allows it."),
      thinking: text("Their thinking level: off, minimal, low, medium or high."),
      tools: texts("Names of the only tools that they get; all without it."),
    },
    required: ["count"],
  },
  {
    name: "vers_swarm_task",
    description:
      "Give a worker its task. The worker cannot read your files; the SPEC.md of your workspace is sent along whole. " +
      "Call it once per worker, all in one message.",
    properties: {
      agentId: text("The worker's label."),
      task: text("What this worker builds, which files it owns, and how it checks its work."),
      steer: truth("Turn a busy worker as soon as its open tool calls have ended, instead of after its present task."),
    },
    required: ["agentId", "task"],
  },
  {
    name: "vers_swarm_stop",
    description: "Stop what one worker does. Its files stay, and it takes another task.",
    properties: { agentId: text("The worker's label.") },
    required: ["agentId"],
  },
  {
    name: "vers_swarm_pool",
    description:
      "Run one task for each of many independent items with a few workers: each item once, files collected into your " +
      "workspace, failures listed. If it returns early, call it again with the same parameters: it goes on.",
    properties: {
      items: texts("The items, one string each, all different."),
      task: text("The task of one item; {item} stands for the item."),
      size: number("How many workers."),
    },
    required: ["items", "task", "size"],
  },
  {
    name: "vers_swarm_discover",
    description: "Find lost workers again whose machines can be reached after all, and list everybody.",
    properties: {},
    required: [],
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
      destination: text("A folder of your workspace; the workspace itself without it."),
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
  {
    name: "vers_vms",
    description: "The machines of this swarm: whose they are, and their state.",
    properties: {},
    required: [],
  },
  {
    name: "vers_vm_create",
    description: "A fresh machine without an agent, to try something on. It counts against this swarm's machines.",
    properties: {
      vcpu_count: number("Processors."),
      mem_size_mib: number("Memory."),
      fs_size_mib: number("Disk."),
      wait_boot: truth("It is always booted when this returns."),
    },
    required: [],
  },
  { name: "vers_vm_delete", description: "Delete a machine that you made.", properties: { vmId: VM }, required: ["vmId"] },
  {
    name: "vers_vm_branch",
    description: "A copy of a machine. If an agent lives there, its pi is stopped first and stays so.",
    properties: { vmId: VM },
    required: ["vmId"],
  },
  {
    name: "vers_vm_commit",
    description: "A snapshot of a machine, kept until the build ends. If an agent lives there, its pi is stopped first.",
    properties: { vmId: VM },
    required: ["vmId"],
  },
  {
    name: "vers_vm_restore",
    description: "A new machine from a snapshot of this swarm.",
    properties: { commitId: text("The snapshot.") },
    required: ["commitId"],
  },
  {
    name: "vers_vm_state",
    description: "Pause or resume a machine that you made.",
    properties: { vmId: VM, state: { type: "string", enum: ["Paused", "Running"] } },
    required: ["vmId", "state"],
  },
  {
    name: "vers_vm_use",
    description: "From now on read, bash, edit and write work on that machine, until vers_vm_local.",
    properties: { vmId: VM },
    required: ["vmId"],
  },
  {
    name: "vers_vm_local",
    description: "From now on read, bash, edit and write work on your own machine again.",
    properties: {},
    required: [],
  },
  {
    name: "vers_vm_copy",
    description: "Copy a file or a folder between your workspace and another machine's, modes and binary files included.",
    properties: {
      vmId: text("The other machine; the one in use without it."),
      localPath: text("In your workspace."),
      remotePath: text("Below /root/workspace on the other machine."),
      direction: { type: "string", enum: ["to_vm", "from_vm"] },
    },
    required: ["localPath", "remotePath", "direction"],
  },
];

type Call = (tool: string, params: Record<string, unknown>) => Promise<string>;

type Reply = { ok: boolean; text: string };
type Ask = (id: string, tool: string, params: Record<string, unknown>, signal: any, ctx: any) => Promise<Reply>;

const byDialog: Ask = async (id, tool, params, signal, ctx) => {
  const reply = await ctx.ui.input("swarm", JSON.stringify({ id, tool, params }), { signal });
  if (reply === undefined) throw new Error("the call was cancelled");
  return JSON.parse(reply);
};

// Starts the program at the first call. The swarm is not its child: it outlives the program, and pi.
function byProgram(command: string[], pi: any): Ask {
  type Waiting = { resolve: (reply: Reply) => void; reject: (error: Error) => void };
  let running: Promise<{ stdin: any; waiting: Map<string, Waiting> }> | undefined;
  let calls = 0;

  async function start() {
    const { spawn } = await import("node:child_process");
    const child = spawn(command[0], command.slice(1), { stdio: "pipe" });
    const waiting = new Map<string, Waiting>();
    let rest = "";
    let words = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => {
      const lines = (rest + piece).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const { id, ok, text } = JSON.parse(line);
        waiting.get(id)?.resolve({ ok, text });
        waiting.delete(id);
      }
    });
    child.stderr.setEncoding("utf8").on("data", (piece: string) => (words = (words + piece).slice(-2000)));
    child.stdin.on("error", () => {}); // it has ended, which "close" tells
    const over = (why: string) => {
      running = undefined; // the next call starts another
      for (const { reject } of waiting.values()) reject(new Error(`${command.join(" ")} ${why}: ${words.trim()}`));
      waiting.clear();
    };
    child.on("error", (error: Error) => over(`cannot be started (${error.message})`));
    child.on("close", () => over("has ended"));
    return { stdin: child.stdin, waiting };
  }

  pi.on("session_shutdown", async () => (await running)?.stdin.end());
  return async (_id, tool, params, signal) => {
    const { stdin, waiting } = await (running ??= start());
    const id = String(++calls);
    const cancel = () => {
      stdin.write(`${JSON.stringify({ id, cancel: true })}\n`);
      waiting.get(id)?.reject(new Error("the call was cancelled"));
      waiting.delete(id);
    };
    try {
      return await new Promise<Reply>((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        stdin.write(`${JSON.stringify({ id, tool, params })}\n`);
        if (signal?.aborted) cancel();
        signal?.addEventListener("abort", cancel);
      });
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  };
}

async function way(pi: any): Promise<Ask> {
  const fs = await import("node:fs");
  const url = new URL("installed.json", import.meta.url);
  return fs.existsSync(url) ? byProgram(JSON.parse(fs.readFileSync(url, "utf8")).command, pi) : byDialog;
}

let ask: Ask = byDialog;

// One call to the bot on behalf of the tool call `id`.
const caller = (id: string, signal: any, ctx: any): Call => async (tool, params) => {
  const { ok, text } = await ask(id, tool, params, signal, ctx);
  if (!ok) throw new Error(text);
  return text;
};

// pi's own tools with the hands of another machine. What is small travels inside the call, what is large as a file of
// this machine that the bot reads or writes.
const SMALL = 8192;
const HOME = "/root/workspace";
let inUse: string | undefined;

async function content(answer: { data?: string; at?: string }): Promise<Buffer> {
  if (answer.at === undefined) return Buffer.from(answer.data ?? "", "base64");
  const fs = await import("node:fs/promises");
  const bytes = await fs.readFile(answer.at);
  await fs.rm(answer.at, { force: true });
  return bytes;
}

function hands(vmId: string, call: Call) {
  const readFile = async (path: string) => content(JSON.parse(await call("vm_fetch", { vmId, path })));
  const writeFile = async (path: string, text: string) => {
    const bytes = Buffer.from(text);
    if (bytes.length <= SMALL) {
      await call("vm_store", { vmId, path, data: bytes.toString("base64") });
      return;
    }
    const fs = await import("node:fs/promises");
    const { tmpdir } = await import("node:os");
    const folder = await fs.mkdtemp(`${tmpdir()}/swarm-`);
    try {
      await fs.writeFile(`${folder}/content`, bytes);
      await call("vm_store", { vmId, path, at: `${folder}/content` });
    } finally {
      await fs.rm(folder, { recursive: true, force: true });
    }
  };
  const exec = async (command: string, cwd: string, { onData, timeout }: any) => {
    const done = JSON.parse(await call("vm_exec", { vmId, command, cwd, timeout }));
    const output = await content(done);
    if (output.length) onData(output);
    if (done.timedOut) throw new Error(`timeout:${timeout}`);
    return { exitCode: done.status };
  };
  return { readFile, writeFile, exec, access: async () => {}, mkdir: async () => {} };
}

// Older versions keep the tools with which a run began, so these are replaced before the first.
async function route(pi: any) {
  const made: any = await import("@mariozechner/pi-coding-agent");
  const settings = made.SettingsManager?.create(process.cwd()); // a person's own, or those of the image
  const bash = { commandPrefix: settings?.getShellCommandPrefix?.(), shellPath: settings?.getShellPath?.() };
  const kinds: [any, object][] = [
    [made.createReadToolDefinition, { autoResizeImages: settings?.getImageAutoResize?.() }],
    [made.createBashToolDefinition, bash],
    [made.createEditToolDefinition, {}],
    [made.createWriteToolDefinition, {}],
  ];
  for (const [make, options] of kinds) {
    const own = make(process.cwd(), options);
    pi.registerTool({
      ...own,
      async execute(id: string, given: any, signal: any, onUpdate: any, ctx: any) {
        if (!inUse) return own.execute(id, given, signal, onUpdate, ctx);
        const there = make(HOME, { operations: hands(inUse, caller(id, signal, ctx)) });
        return there.execute(id, given, signal, onUpdate, Object.create(ctx, { cwd: { value: HOME } }));
      },
    });
  }
}

export default async function (pi: any) {
  ask = await way(pi);
  await route(pi);
  for (const { name, description, properties, required } of TOOLS) {
    pi.registerTool({
      name,
      label: name,
      description,
      parameters: { type: "object", properties, required },
      async execute(id: string, given: any, signal: any, _onUpdate: any, ctx: any) {
        const known = Object.fromEntries(Object.entries(given ?? {}).filter(([key]) => key in properties));
        if (name === "vers_vm_copy" && !known.vmId && inUse) known.vmId = inUse;
        const text = await caller(id, signal, ctx)(name, known);
        if (name === "vers_vm_use") inUse = JSON.parse(text).vmId;
        if (name === "vers_vm_local") inUse = undefined;
        return { content: [{ type: "text", text }], details: {} };
      },
    });
  }
}
