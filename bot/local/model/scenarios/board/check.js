'use strict';
// Every tile against the specification.
const assert = require('node:assert');

for (let k = 1; k <= COUNT; k += 1) {
  const tile = require(`./tiles/tile-${k}.js`);
  assert.strictEqual(tile.name, `tile-${k}`);
  assert.strictEqual(tile.cells.length, 24);
  for (const cell of tile.cells) {
    assert.strictEqual(cell.shade, (cell.x + cell.y + k) % 10, `${tile.name} ${cell.word}`);
    assert.ok(cell.word.length > 0);
  }
  assert.ok(tile.draw().includes(`id="tile-${k}"`));
}
console.log('all COUNT tiles are as specified');
