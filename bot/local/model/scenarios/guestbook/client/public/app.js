"use strict";
const list = document.getElementById("lines");
const text = document.getElementById("text");

async function show() {
  const { lines } = await (await fetch("lines")).json();
  list.replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line.text })));
}

document.getElementById("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await fetch("lines", { method: "POST", body: JSON.stringify({ text: text.value }) });
  text.value = "";
  show();
});

show();
