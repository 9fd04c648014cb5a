// Listens on IPv6 and forwards HTTP and WebSocket to an app that listens on IPv4 only: node bridge.js LISTEN_PORT APP_PORT
"use strict";
const http = require("http");
const net = require("net");
const [listenPort, appPort] = process.argv.slice(2).map(Number);

const forwarded = (req) => {
  const peer = req.socket.remoteAddress;
  const chain = req.headers["x-forwarded-for"];
  return { ...req.headers, "x-forwarded-for": chain ? `${chain}, ${peer}` : peer };
};

const server = http.createServer((req, res) => {
  const upstream = http.request(
    { hostname: "127.0.0.1", port: appPort, path: req.url, method: req.method, headers: forwarded(req) },
    (answer) => {
      res.writeHead(answer.statusCode, answer.statusMessage, answer.headers);
      answer.pipe(res);
      answer.on("error", () => res.destroy());
    },
  );
  upstream.on("error", () => {
    if (res.headersSent) return res.destroy();
    res.writeHead(502, { "content-type": "text/plain" });
    res.end("the app does not answer\n");
  });
  req.on("aborted", () => upstream.destroy());
  req.pipe(upstream);
});

server.on("upgrade", (req, socket, head) => {
  const upstream = net.connect(appPort, "127.0.0.1", () => {
    const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}`];
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
      if (req.rawHeaders[i].toLowerCase() !== "x-forwarded-for") lines.push(`${req.rawHeaders[i]}: ${req.rawHeaders[i + 1]}`);
    }
    lines.push(`X-Forwarded-For: ${forwarded(req)["x-forwarded-for"]}`);
    upstream.write(`${lines.join("\r\n")}\r\n\r\n`);
    upstream.write(head);
    upstream.pipe(socket).pipe(upstream);
  });
  upstream.on("error", () => socket.destroy());
  upstream.on("close", () => socket.destroy());
  socket.on("error", () => upstream.destroy());
  socket.on("close", () => upstream.destroy());
});

server.listen({ port: listenPort, host: "::", ipv6Only: true });
