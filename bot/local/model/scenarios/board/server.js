'use strict';
// One page of all tiles. PORT and host as the specification says.
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const folder = path.join(__dirname, 'tiles');
const number = (file) => Number(file.match(/\d+/)[0]);
const files = fs.readdirSync(folder).filter((file) => /^tile-\d+\.js$/.test(file));
const tiles = files.sort((a, b) => number(a) - number(b)).map((file) => require(path.join(folder, file)));

const style = 'body{font:14px sans-serif;background:#101218;color:#e8e8f0;display:grid;gap:1rem;padding:1rem}' +
  '.tile{display:grid;grid-template-columns:repeat(6,1fr);gap:2px}.tile span{background:#262a3a;padding:.3rem}';

http
  .createServer((request, response) => {
    if (request.url !== '/') {
      response.writeHead(404).end('not found');
      return;
    }
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    response.end(`<!doctype html><title>Board</title><style>${style}</style>${tiles.map((tile) => tile.draw()).join('')}`);
  })
  .listen(process.env.PORT || 3000, '::');
