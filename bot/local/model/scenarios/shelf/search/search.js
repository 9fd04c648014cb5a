const query = document.getElementById("query");

query.addEventListener("input", () => {
  const wanted = query.value.trim().toLowerCase();
  for (const entry of document.querySelectorAll("#books > li")) {
    entry.hidden = !entry.textContent.toLowerCase().includes(wanted);
  }
});
