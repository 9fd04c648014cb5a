"use strict";
const assert = require("node:assert");
const { test } = require("node:test");
const { count, top, total, words } = require("../lib/count.js");

test("words ignore case and keep apostrophes", () => {
  assert.deepStrictEqual(words("Don't stop, DON'T!"), ["don't", "stop", "don't"]);
});

test("words exist in any script", () => {
  assert.deepStrictEqual(words("Größe 東京 42"), ["größe", "東京", "42"]);
});

test("punctuation alone is no word", () => {
  assert.deepStrictEqual(words("' – ' …"), []);
});

test("a last line counts without a line feed", () => {
  assert.deepStrictEqual(count("one two\nthree"), { lines: 2, words: 3, characters: 13 });
  assert.deepStrictEqual(count("one two\nthree\n"), { lines: 2, words: 3, characters: 14 });
});

test("nothing counts as nothing", () => {
  assert.deepStrictEqual(count(""), { lines: 0, words: 0, characters: 0 });
});

test("characters are code points", () => {
  assert.strictEqual(count("🐍🐍").characters, 2);
});

test("top sorts by frequency, then alphabet", () => {
  assert.deepStrictEqual(top("b a c b a d", 3), [
    { word: "a", times: 2 }, { word: "b", times: 2 }, { word: "c", times: 1 },
  ]);
});

test("total sums, and is zero for an empty list", () => {
  const one = { lines: 1, words: 2, characters: 3 };
  assert.deepStrictEqual(total([one, one]), { lines: 2, words: 4, characters: 6 });
  assert.deepStrictEqual(total([]), { lines: 0, words: 0, characters: 0 });
});
