"use strict";
// Snake Arena. The server owns the game and sends the whole state every tick; SPEC.md has the protocol.

const fs = require("fs");
const http = require("http");
const path = require("path");
const { WebSocketServer } = require("ws");

const PORT = process.env.PORT || 3000;
const GRID = { width: 32, height: 20 };
const TICK_MS = 110;
const START_LENGTH = 6;
const ARENA_SIZE = 4; // house snakes fill up the arena to this many
const BOT_RESPAWN_TICKS = 20;
const COLORS = ["#5ef38c", "#4cc9f0", "#ff5d8f", "#ffd166", "#b388ff", "#ff9f1c", "#2de2e6", "#f15bb5"];
const BOT_NAMES = ["Kaa", "Nagini", "Monty", "Jörmungandr"];
const STEP = { up: [0, -1], down: [0, 1], left: [-1, 0], right: [1, 0] };
const OPPOSITE = { up: "down", down: "up", left: "right", right: "left" };

// ---- The game ---------------------------------------------------------------------------------

const snakes = new Map(); // id -> snake
let food = { x: 16, y: 10 };
let tick = 0;
let nextId = 1;

const random = (n) => Math.floor(Math.random() * n);
const wrap = (value, size) => (value + size) % size;
const key = (x, y) => x + "," + y;

function occupied() {
  const cells = new Set();
  for (const snake of snakes.values())
    if (snake.alive) for (const [x, y] of snake.segments) cells.add(key(x, y));
  return cells;
}

function freeCell() {
  const taken = occupied();
  for (;;) {
    const x = random(GRID.width), y = random(GRID.height);
    if (!taken.has(key(x, y))) return { x, y };
  }
}

function spawn(snake) {
  const dir = Math.random() < 0.5 ? "left" : "right";
  const taken = occupied();
  let head = freeCell();
  for (let tries = 0; tries < 50; tries++) { // a row without neighbours, so that nobody is born into a wall
    const clear = [-8, -4, 0, 4, 8].every((d) => !taken.has(key(wrap(head.x + d, GRID.width), head.y)));
    if (clear) break;
    head = freeCell();
  }
  const back = STEP[OPPOSITE[dir]][0];
  snake.segments = Array.from({ length: START_LENGTH }, (_, i) => [wrap(head.x + back * i, GRID.width), head.y]);
  Object.assign(snake, { dir, turns: [], alive: true, score: 0, diedAt: 0 });
}

function addSnake(name, bot) {
  const used = new Set([...snakes.values()].map((snake) => snake.color));
  const color = COLORS.find((c) => !used.has(c)) || COLORS[nextId % COLORS.length];
  const snake = { id: String(nextId++), name, color, bot };
  spawn(snake);
  snakes.set(snake.id, snake);
  return snake;
}

function ahead(snake, dir) {
  const [dx, dy] = STEP[dir];
  const [x, y] = snake.segments[0];
  return [wrap(x + dx, GRID.width), wrap(y + dy, GRID.height)];
}

// Towards the food or a whim, but never into a body, and rather where there is room.
function steer(snake, taken) {
  if (tick % 24 === snake.id % 24) snake.whim = Math.random() < 0.4 ? { x: random(GRID.width), y: random(GRID.height) } : null;
  const goal = snake.whim || food;
  const distance = (a, b, size) => Math.min(Math.abs(a - b), size - Math.abs(a - b));
  let best = snake.dir, bestCost = Infinity;
  for (const dir of Object.keys(STEP)) {
    if (dir === OPPOSITE[snake.dir]) continue;
    const [x, y] = ahead(snake, dir);
    if (taken.has(key(x, y))) continue;
    let cost = distance(x, goal.x, GRID.width) + distance(y, goal.y, GRID.height);
    for (const [dx, dy] of Object.values(STEP))
      if (taken.has(key(wrap(x + dx, GRID.width), wrap(y + dy, GRID.height)))) cost += 3;
    if (dir !== snake.dir) cost += Math.random(); // a little stubborn, so that it can be beaten
    if (cost < bestCost) [best, bestCost] = [dir, cost];
  }
  return best;
}

function manageBots() {
  const bots = [...snakes.values()].filter((snake) => snake.bot);
  const people = snakes.size - bots.length;
  const wanted = Math.max(0, ARENA_SIZE - people);
  for (const bot of bots.slice(wanted)) snakes.delete(bot.id);
  for (let i = bots.length; i < wanted; i++) addSnake(BOT_NAMES[i % BOT_NAMES.length], true);
  for (const bot of bots) if (!bot.alive && tick - bot.diedAt > BOT_RESPAWN_TICKS) spawn(bot);
}

function step() {
  tick++;
  manageBots();
  const moving = [...snakes.values()].filter((snake) => snake.alive);
  const before = occupied();
  for (const snake of moving) {
    if (snake.bot) snake.dir = steer(snake, before);
    else if (snake.turns.length) snake.dir = snake.turns.shift();
    snake.segments.unshift(ahead(snake, snake.dir));
    const [x, y] = snake.segments[0];
    snake.ate = x === food.x && y === food.y;
    if (!snake.ate) snake.segments.pop();
  }
  const cells = new Map(); // how many bodies share a cell
  for (const snake of moving)
    for (const [x, y] of snake.segments) cells.set(key(x, y), (cells.get(key(x, y)) || 0) + 1);
  for (const snake of moving) {
    const [x, y] = snake.segments[0];
    if (cells.get(key(x, y)) > 1) Object.assign(snake, { alive: false, diedAt: tick });
    else if (snake.ate) snake.score += 10;
  }
  if (moving.some((snake) => snake.ate)) food = freeCell();
}

function state() {
  return {
    type: "state",
    tick,
    food,
    snakes: [...snakes.values()].map(({ id, name, color, alive, score, segments }) =>
      ({ id, name, color, alive, score, segments })),
  };
}

// ---- The wire ---------------------------------------------------------------------------------

const PUBLIC = path.join(__dirname, "public");
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript" };

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const file = path.join(PUBLIC, pathname === "/" ? "index.html" : path.normalize(pathname));
  const type = TYPES[path.extname(file)];
  if (!file.startsWith(PUBLIC + path.sep) || !type) return response.writeHead(404).end("not found");
  fs.readFile(file, (error, content) => {
    if (error) return response.writeHead(404).end("not found");
    response.writeHead(200, { "content-type": type, "cache-control": "no-cache" }).end(content);
  });
});

const sockets = new WebSocketServer({ server, maxPayload: 1024 });

sockets.on("connection", (socket) => {
  let snake = null;
  socket.on("message", (data) => {
    let message;
    try { message = JSON.parse(data); } catch { return; }
    if (message === null || typeof message !== "object") return;
    if (message.type === "join" && !snake) {
      snake = addSnake(String(message.name || "").trim().slice(0, 12) || "Guest", false);
      socket.send(JSON.stringify({ type: "welcome", id: snake.id, grid: GRID, tickMs: TICK_MS }));
    } else if (message.type === "turn" && snake && Object.hasOwn(STEP, message.dir)) {
      const last = snake.turns.at(-1) || snake.dir;
      if (snake.turns.length < 2 && message.dir !== last && message.dir !== OPPOSITE[last])
        snake.turns.push(message.dir);
    } else if (message.type === "respawn" && snake && !snake.alive) {
      spawn(snake);
    }
  });
  socket.on("close", () => snake && snakes.delete(snake.id));
  socket.on("error", () => socket.terminate());
});

setInterval(() => {
  step();
  const frame = JSON.stringify(state());
  for (const socket of sockets.clients) if (socket.readyState === 1) socket.send(frame);
}, TICK_MS);

server.listen(PORT, "::", () => console.log(`Snake Arena is open on port ${server.address().port}`));
