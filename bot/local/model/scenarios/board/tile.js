'use strict';
// Tile NUMBER of the board: its cells as data, and the markup that is made from them.

const name = 'tile-NUMBER';

const cells = [
  // cells
];

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function escaped(text) {
  return text.replace(/[&<>"]/g, (character) => escapes[character]);
}

function cellMarkup(cell) {
  const light = 18 + cell.shade * 5;
  return `<span style="background:hsl(${cell.x * 50} 40% ${light}%)" title="${escaped(cell.word)}">${cell.shade}</span>`;
}

function draw() {
  return `<section class="tile" id="${name}">${cells.map(cellMarkup).join('')}</section>`;
}

module.exports = { name, cells, draw };
