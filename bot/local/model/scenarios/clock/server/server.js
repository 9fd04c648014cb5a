"use strict";
const fs = require("fs");
const http = require("http");
const path = require("path");

const page = fs.readFileSync(path.join(__dirname, "public", "index.html"));

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname === "/") return response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page);
  if (pathname !== "/time") return response.writeHead(404).end("not found");
  const body = { iso: new Date().toISOString(), forwardedFor: request.headers["x-forwarded-for"] || "" };
  response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" }).end(JSON.stringify(body));
});

server.listen(process.env.PORT || 3000, "0.0.0.0", () => console.log("the clock ticks on port", server.address().port));
