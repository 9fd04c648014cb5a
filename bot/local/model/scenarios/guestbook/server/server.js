"use strict";
const fs = require("fs");
const http = require("http");
const path = require("path");

const FILES = { "/": ["index.html", "text/html; charset=utf-8"], "/app.js": ["app.js", "text/javascript"] };
let lines = [];

const json = (response, status, body) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));

function add(request, response) {
  let body = "";
  request.on("data", (chunk) => { if ((body += chunk).length > 4096) request.destroy(); });
  request.on("end", () => {
    let text;
    try { text = JSON.parse(body).text; } catch { /* stays undefined, which is refused below */ }
    if (typeof text !== "string" || !text.trim() || text.length > 200) return json(response, 400, { error: "text: 1 to 200 characters" });
    lines = [{ text: text.trim() }, ...lines].slice(0, 100);
    json(response, 201, {});
  });
}

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname === "/lines") return request.method === "POST" ? add(request, response) : json(response, 200, { lines });
  const found = FILES[pathname];
  if (!found) return response.writeHead(404).end("not found");
  response.writeHead(200, { "content-type": found[1] });
  fs.createReadStream(path.join(__dirname, "public", found[0])).pipe(response);
});

server.listen(process.env.PORT || 3000, "::", () => console.log("the guestbook is open on port", server.address().port));
