#!/usr/bin/env node
"use strict";

const fs = require("node:fs");
const { parseArgs } = require("node:util");
const { count, top, total } = require("../lib/count.js");

function arguments_() {
  const options = { top: { type: "string" }, json: { type: "boolean", default: false } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (values.top !== undefined && !/^[1-9]\d*$/.test(values.top)) throw new Error("--top wants a number above 0");
  return { n: Number(values.top || 0), json: values.json, names: positionals.length ? positionals : ["-"] };
}

function read(name) {
  try {
    return fs.readFileSync(name === "-" ? 0 : name, "utf8");
  } catch {
    console.error(`wordcount: ${name}: cannot be read`);
    process.exitCode = 1;
    return null;
  }
}

function main() {
  let wanted;
  try {
    wanted = arguments_();
  } catch (error) {
    console.error(`wordcount: ${error.message}`);
    process.exitCode = 2;
    return;
  }
  const inputs = wanted.names.map((name) => ({ name, text: read(name) })).filter(({ text }) => text !== null);
  const files = inputs.map(({ name, text }) => ({ name, ...count(text) }));
  const sum = total(files);
  const frequent = wanted.n ? top(inputs.map(({ text }) => text).join("\n"), wanted.n) : [];
  if (wanted.json) {
    console.log(JSON.stringify({ files, total: sum, top: frequent }, null, 2));
    return;
  }
  const rows = wanted.names.length > 1 ? [...files, { name: "total", ...sum }] : files;
  for (const { lines, words, characters, name } of rows) console.log(lines, words, characters, name);
  for (const { word, times } of frequent) console.log(times, word);
}

main();
