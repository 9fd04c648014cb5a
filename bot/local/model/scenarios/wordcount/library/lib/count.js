"use strict";
// Counting, without any I/O.

const WORD = /[\p{L}\p{N}'’]*[\p{L}\p{N}][\p{L}\p{N}'’]*/gu;

/** Every word of a text in order, lower case. */
function words(text) {
  return text.toLowerCase().match(WORD) || [];
}

/** Lines, words and characters (code points) of a text. */
function count(text) {
  const feeds = text.split("\n").length - 1;
  const unfinished = text !== "" && !text.endsWith("\n") ? 1 : 0;
  return { lines: feeds + unfinished, words: words(text).length, characters: [...text].length };
}

/** The n most frequent words, ties in alphabetical order. */
function top(text, n) {
  const times = new Map();
  for (const word of words(text)) times.set(word, (times.get(word) || 0) + 1);
  return [...times]
    .map(([word, count]) => ({ word, times: count }))
    .sort((a, b) => b.times - a.times || (a.word < b.word ? -1 : 1))
    .slice(0, n);
}

/** The sum of several counts. */
function total(counts) {
  const sum = { lines: 0, words: 0, characters: 0 };
  for (const each of counts) for (const name of Object.keys(sum)) sum[name] += each[name];
  return sum;
}

module.exports = { words, count, top, total };
