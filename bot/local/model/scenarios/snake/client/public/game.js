"use strict";
// Snake Arena, the client: draws what the server sends, smoothly, and sends turns. SPEC.md has the protocol.

const $ = (id) => document.getElementById(id);
const canvas = $("arena");
const pen = canvas.getContext("2d");
const overlay = $("overlay");

let grid = { width: 32, height: 20 };
let tickMs = 110;
let me = null; // my id, once I have joined
let snakes = []; // as drawn: the server's snakes and where their tails were
let food = null;
let receivedAt = 0;
let particles = [];
let best = Number(localStorage.getItem("best") || 0);

// ---- Talking to the server --------------------------------------------------------------------

let socket;
let retryMs = 500;

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  socket.onopen = () => { retryMs = 500; $("status").textContent = "Live"; };
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = () => {
    $("status").textContent = "Connection lost, trying again…";
    if (me) show("Connection lost", "The arena will be back in a moment.");
    me = null;
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, 8000);
  };
}

const send = (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));

function receive(message) {
  if (message.type === "welcome") {
    ({ id: me, grid, tickMs } = message);
    overlay.classList.add("is-hidden");
  } else if (message.type === "state") {
    applyState(message);
  }
}

function applyState(state) {
  const before = new Map(snakes.map((drawn) => [drawn.id, drawn]));
  snakes = state.snakes.map((snake) => {
    const body = snake.snake;
    const old = before.get(snake.id);
    if (old && old.alive && !snake.alive) {
      for (const [x, y] of body) burst(x, y, snake.color, 5);
      if (snake.id === me) died(snake.score);
    }
    if (old && snake.score > old.score) burst(food.x, food.y, snake.color, 26);
    return {
      id: snake.id, name: snake.name, color: snake.color, alive: snake.alive, score: snake.score, body,
      tailWas: old && old.alive ? old.body.at(-1) : body.at(-1),
    };
  });
  food = state.food;
  receivedAt = performance.now();
  showScores();
}

// ---- The page around the arena ----------------------------------------------------------------

function showScores() {
  const rows = [...snakes].sort((a, b) => b.score - a.score).slice(0, 10).map((drawn) => {
    const row = document.createElement("li");
    row.className = `score-row${drawn.id === me ? " me" : ""}${drawn.alive ? "" : " dead"}`;
    row.style.color = drawn.color;
    for (const [name, text] of [["swatch", ""], ["who", drawn.name], ["points", drawn.score]]) {
      const part = document.createElement("span");
      part.className = name;
      part.textContent = text;
      row.append(part);
    }
    return row;
  });
  $("scores").replaceChildren(...rows);
  const mine = snakes.find((drawn) => drawn.id === me);
  best = Math.max(best, mine ? mine.score : 0);
  $("best").textContent = best;
  if (mine) $("status").textContent = `${snakes.length} in the arena`;
}

function show(headline, hint) {
  $("headline").textContent = headline;
  $("hint").textContent = hint;
  overlay.classList.remove("is-hidden");
}

function died(score) {
  localStorage.setItem("best", best);
  $("play").textContent = "Again";
  show(score >= best && score > 0 ? `${score}: your best yet!` : `${score} points`, "Press space or tap Again.");
}

function play() {
  if (!me) return send({ type: "join", name: $("name").value });
  send({ type: "respawn" });
  overlay.classList.add("is-hidden");
}

$("join").addEventListener("submit", (event) => { event.preventDefault(); $("name").blur(); play(); });

const KEYS = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right", w: "up", s: "down", a: "left", d: "right" };

addEventListener("keydown", (event) => {
  if (event.target.id === "name") return;
  const dir = KEYS[event.key] || KEYS[event.key.toLowerCase()];
  if (dir) send({ type: "turn", dir });
  if (event.key === " " && me && !overlay.classList.contains("is-hidden")) play();
  if (dir || event.key === " ") event.preventDefault();
});

let touch = null;
canvas.addEventListener("pointerdown", (event) => { touch = event; });
canvas.addEventListener("pointermove", (event) => {
  if (!touch) return;
  const dx = event.clientX - touch.clientX, dy = event.clientY - touch.clientY;
  if (Math.max(Math.abs(dx), Math.abs(dy)) < 24) return;
  send({ type: "turn", dir: Math.abs(dx) > Math.abs(dy) ? (dx > 0 ? "right" : "left") : dy > 0 ? "down" : "up" });
  touch = event;
});
addEventListener("pointerup", () => { touch = null; });

// ---- Drawing ----------------------------------------------------------------------------------

function burst(x, y, color, count) {
  for (let i = 0; i < count; i++) {
    const angle = Math.random() * 7, speed = 0.02 + Math.random() * 0.12;
    particles.push({ x: x + 0.5, y: y + 0.5, dx: Math.cos(angle) * speed, dy: Math.sin(angle) * speed, life: 1, color });
  }
}

// The arena wraps: a step from the last column to the first is one to the right, not 31 to the left.
const shortest = (d, size) => (d > size / 2 ? d - size : d < -size / 2 ? d + size : d);
const toward = ([ax, ay], [bx, by], t) =>
  [ax + shortest(bx - ax, grid.width) * t, ay + shortest(by - ay, grid.height) * t];

function drawBody(points, color, width) {
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.beginPath();
  for (let i = 1; i < points.length; i++) {
    const a = points[i - 1], b = points[i];
    const [nx, ny] = toward(a, b, 1);
    pen.moveTo(a[0] + 0.5, a[1] + 0.5);
    pen.lineTo(nx + 0.5, ny + 0.5);
    if (nx !== b[0] || ny !== b[1]) { // leaves on one side, comes in on the other
      const [px, py] = toward(b, a, 1);
      pen.moveTo(px + 0.5, py + 0.5);
      pen.lineTo(b[0] + 0.5, b[1] + 0.5);
    }
  }
  pen.stroke();
}

function drawSnake(drawn, t) {
  const { body, color } = drawn;
  const head = toward(body[1], body[0], t);
  const tail = toward(drawn.tailWas, body.at(-1), t);
  const points = [head, ...body.slice(1), tail];
  pen.shadowColor = color;
  pen.shadowBlur = drawn.id === me ? 26 : 14;
  drawBody(points, color, 0.74);
  pen.shadowBlur = 0;
  pen.setLineDash([0.34, 0.66]); // scales
  drawBody(points, "#00000040", 0.42);
  pen.setLineDash([]);
  const [dx, dy] = toward(body[1], body[0], 1).map((value, i) => value - body[1][i]);
  for (const side of [-1, 1]) { // eyes look where it goes
    const x = head[0] + 0.5 + dx * 0.12 - dy * side * 0.2, y = head[1] + 0.5 + dy * 0.12 + dx * side * 0.2;
    dot(x, y, 0.14, "#fff");
    dot(x + dx * 0.05, y + dy * 0.05, 0.07, "#0a0b14");
  }
  return { text: drawn.id === me ? "you" : drawn.name, color, x: head[0] + 0.5 + Math.abs(dy) * 0.7, y: head[1] + (dy ? 0.7 : -0.35), align: dy ? "left" : "center" };
}

function drawLabel({ text, color, x, y, align }) {
  Object.assign(pen, { fillStyle: color, textAlign: align, globalAlpha: 0.85 });
  pen.fillText(text, x, y);
  pen.globalAlpha = 1;
}

function dot(x, y, radius, color) {
  pen.fillStyle = color;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fill();
}

function drawGrid() {
  const glow = pen.createRadialGradient(grid.width / 2, grid.height / 2, 2, grid.width / 2, grid.height / 2, grid.width * 0.6);
  glow.addColorStop(0, "#161a38");
  glow.addColorStop(1, "#0a0b14");
  pen.fillStyle = glow;
  pen.fillRect(0, 0, grid.width, grid.height);
  pen.fillStyle = "#7d8cff14";
  for (let x = 1; x < grid.width; x++) pen.fillRect(x - 0.02, 0, 0.04, grid.height);
  for (let y = 1; y < grid.height; y++) pen.fillRect(0, y - 0.02, grid.width, 0.04);
}

function draw(now) {
  const scale = Math.min(devicePixelRatio || 1, 2);
  const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  pen.setTransform(width / grid.width, 0, 0, height / grid.height, 0, 0);
  Object.assign(pen, { lineCap: "round", lineJoin: "round", font: "600 0.55px system-ui, sans-serif" });
  drawGrid();
  if (food) {
    Object.assign(pen, { shadowColor: "#ff3864", shadowBlur: 30 });
    dot(food.x + 0.5, food.y + 0.5, 0.34 + Math.sin(now / 160) * 0.05, "#ff3864");
    pen.shadowBlur = 0;
    dot(food.x + 0.4, food.y + 0.38, 0.1, "#ffffffaa");
  }
  const t = Math.min((now - receivedAt) / tickMs, 1);
  snakes.filter((drawn) => drawn.alive).map((drawn) => drawSnake(drawn, t)).forEach(drawLabel);
  particles = particles.filter((p) => (p.life -= 0.03) > 0);
  for (const p of particles) {
    pen.globalAlpha = p.life;
    dot((p.x += p.dx), (p.y += p.dy), 0.13 * p.life + 0.03, p.color);
  }
  pen.globalAlpha = 1;
  requestAnimationFrame(draw);
}

connect();
requestAnimationFrame(draw);
