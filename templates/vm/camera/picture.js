// One picture of a page, as a visitor sees it a moment after it has loaded. Runs on a machine of its own, as user `agent`.
// Usage: picture.js BROWSER; stdin: {url, host, width, height, settle_ms, limit_ms}; stdout: {png} (base64) or {problem}.
//
// Chromium is spoken to over a pipe (--remote-debugging-pipe: JSON, one NUL after each message). The page's own host leads
// to the machine's loopback, where the bot forwards the page's port; every other name leads nowhere.
"use strict";
const { spawn } = require("child_process");
const { mkdtempSync, readFileSync } = require("fs");

const want = JSON.parse(readFileSync(0, "utf8"));
const profile = mkdtempSync("/tmp/picture-"); // goes with the machine
const browser = spawn(process.argv[2], [
  "--headless", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "--no-sandbox", "--disable-gpu",
  "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server", "--disable-quic", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--mute-audio", "--hide-scrollbars", "--force-color-profile=srgb",
  `--window-size=${want.width},${want.height}`,
  `--host-resolver-rules=MAP ${want.host} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
  "about:blank",
], { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] });

let said = "";
browser.stderr.on("data", (data) => { said = (said + data).slice(-2000); });
browser.on("error", (error) => end({ problem: `the browser did not start: ${error.message}` }));
browser.on("exit", (code, signal) => end({ problem: `the browser ended (${code ?? signal}): ${said.trim().split("\n").pop()}` }));
setTimeout(() => end({ problem: `the page was not drawn within ${want.limit_ms / 1000} s` }), want.limit_ms);

let ended = false;
function end(answer) {
  if (ended) return;
  ended = true;
  browser.kill("SIGKILL");
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
}

const open = new Map();
const heard = new Map();
let last = 0;
function send(method, params = {}, sessionId = undefined) {
  const id = ++last;
  browser.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => open.set(id, { resolve, reject }));
}
function event(method) {
  return new Promise((resolve) => heard.set(method, resolve));
}
browser.stdio[3].on("error", () => {}); // its exit says more
let rest = [];
browser.stdio[4].on("data", (data) => {
  for (let at; (at = data.indexOf(0)) >= 0; data = data.subarray(at + 1)) {
    receive(JSON.parse(Buffer.concat([...rest, data.subarray(0, at)]).toString()));
    rest = [];
  }
  if (data.length) rest.push(data);
});
function receive(message) {
  if (message.id) {
    const { resolve, reject } = open.get(message.id);
    open.delete(message.id);
    return message.error ? reject(new Error(message.error.message)) : resolve(message.result);
  }
  if (message.method === "Page.javascriptDialogOpening") // a page that asks waits for ever otherwise
    send("Page.handleJavaScriptDialog", { accept: true }, message.sessionId).catch(() => {});
  heard.get(message.method)?.(message.params);
}
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const { targetInfos } = await send("Target.getTargets");
  const { targetId } = targetInfos.find((each) => each.type === "page") ?? await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const { width, height } = want;
  await send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false }, sessionId);
  await send("Page.enable", {}, sessionId);
  const loaded = event("Page.loadEventFired");
  const { errorText } = await send("Page.navigate", { url: want.url }, sessionId);
  if (errorText) return end({ problem: `the browser could not open the page: ${errorText}` });
  await Promise.race([loaded, pause(want.limit_ms / 2)]); // a page that never stops loading is drawn as it is
  await pause(want.settle_ms); // fonts, sockets, the first frames of a game
  const { data } = await send("Page.captureScreenshot", { format: "png" }, sessionId);
  end({ png: data });
})().catch((error) => end({ problem: `no picture: ${error.message}` }));
