"use strict";
const assert = require("node:assert");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { spawnSync } = require("node:child_process");
const { test } = require("node:test");

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "wordcount-"));
const file = (name, text) => {
  fs.writeFileSync(path.join(folder, name), text);
  return path.join(folder, name);
};
const command = path.join(__dirname, "..", "bin", "wordcount.js");
const run = (args, input = "") => spawnSync(process.execPath, [command, ...args], { input, encoding: "utf8" });

test("reads standard input without files", () => {
  assert.strictEqual(run([], "one two\n").stdout, "1 2 8 -\n");
});

test("several files get a total", () => {
  const a = file("a.txt", "one\n"), b = file("b.txt", "two three\n");
  assert.strictEqual(run([a, b]).stdout, `1 1 4 ${a}\n1 2 10 ${b}\n2 3 14 total\n`);
});

test("--top lists the most frequent words", () => {
  assert.strictEqual(run(["--top", "1"], "b a b\n").stdout, "1 3 6 -\n2 b\n");
});

test("--json prints one object", () => {
  assert.deepStrictEqual(JSON.parse(run(["--json", "--top", "1"], "hi\n").stdout), {
    files: [{ name: "-", lines: 1, words: 1, characters: 3 }],
    total: { lines: 1, words: 1, characters: 3 },
    top: [{ word: "hi", times: 1 }],
  });
});

test("a missing file is reported, the rest is counted", () => {
  const done = run([path.join(folder, "none"), file("c.txt", "x\n")]);
  assert.strictEqual(done.status, 1);
  assert.match(done.stderr, /none: cannot be read/);
  assert.match(done.stdout, /^1 1 2 /);
});

test("wrong arguments end with status 2", () => {
  assert.strictEqual(run(["--top", "many"]).status, 2);
  assert.strictEqual(run(["--unknown"]).status, 2);
});
