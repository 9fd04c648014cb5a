"use strict";
// Integration check: starts the real server, plays a moment, and compares what each part says with what the others expect.

const assert = require("assert");
const fs = require("fs");
const net = require("net");
const { spawn } = require("child_process");
const WebSocket = require("ws");

const read = (path) => fs.readFileSync(path, "utf8");
const game = read("public/game.js"), page = read("public/index.html"), style = read("public/style.css");
let failures = 0;

function check(what, test) {
  try { test(); console.log("ok    " + what); }
  catch (error) { failures++; console.log("FAIL  " + what + "\n      " + error.message); }
}
const found = (text, pattern) => [...new Set([...text.matchAll(pattern)].map((m) => m[1]))].sort();
const missing = (wanted, has, why) => {
  const lost = wanted.filter((name) => !has.includes(name));
  assert(!lost.length, `${why}: ${lost.join(", ")} (there is: ${has.join(", ")})`);
};

function freePort() {
  return new Promise((done) => {
    const probe = net.createServer().listen(0, () => { const { port } = probe.address(); probe.close(() => done(port)); });
  });
}

// Joins as soon as the server listens; resolves with the welcome and the first state that has our snake.
function play(port, until) {
  return new Promise((done, fail) => {
    const socket = new WebSocket(`ws://[::1]:${port}/ws`);
    let welcome;
    socket.on("open", () => socket.send(JSON.stringify({ type: "join", name: "check" })));
    socket.on("message", (data) => {
      const message = JSON.parse(data);
      if (message.type === "welcome") welcome = message;
      if (welcome && message.type === "state" && message.snakes.some((s) => s.id === welcome.id)) {
        socket.close();
        done({ welcome, state: message });
      }
    });
    socket.on("error", (error) =>
      Date.now() < until ? setTimeout(() => play(port, until).then(done, fail), 50) : fail(error));
  });
}

(async () => {
  const port = await freePort();
  const server = spawn("node", ["server.js"], { env: { ...process.env, PORT: port }, stdio: ["ignore", "ignore", "inherit"] });
  try {
    const { welcome, state } = await play(port, Date.now() + 10000);
    const mine = state.snakes.find((s) => s.id === welcome.id);
    check("state frame has tick, food and snakes", () => missing(["tick", "food", "snakes"], Object.keys(state), "missing"));
    check("segments are pairs of numbers", () => assert(mine.segments.every(([x, y]) => x >= 0 && y >= 0)));
    check("house snakes fill the arena", () => assert.strictEqual(state.snakes.length, 4));
    check("game.js reads only fields that the server sends", () =>
      missing(found(game, /\bsnake\.(\w+)/g), Object.keys(mine), "client reads what no snake has"));
    for (const path of ["/", "/game.js", "/style.css"]) {
      const answer = await fetch(`http://[::1]:${port}${path}`);
      check(`GET ${path} answers 200`, () => assert.strictEqual(answer.status, 200));
    }
    const outside = await fetch(`http://[::1]:${port}/..%2fserver.js`);
    check("files outside public stay inside", () => assert.strictEqual(outside.status, 404));
    check("every id that game.js uses is in the page", () =>
      missing(found(game, /\$\("(\w+)"\)/g), found(page, /id="(\w+)"/g), "not in index.html"));
    check("every class that game.js sets is styled", () =>
      missing(["is-hidden", "score-row", "me", "dead", "swatch", "who", "points"], found(style, /\.([a-z-]+)/g), "not in style.css"));
  } finally {
    server.kill();
  }
  console.log(failures ? `\n${failures} check(s) failed` : "\nall checks passed");
  process.exitCode = failures ? 1 : 0;
})();
