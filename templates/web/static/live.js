// Keeps the page true: asks for the moving part every two seconds and swaps it in when it changed.
"use strict";
(() => {
  const live = document.getElementById("live");
  const line = document.getElementById("line");
  const address = live.dataset.poll;
  if (!address) return;
  let shown = "";
  let wait = 2000;

  async function look() {
    if (document.hidden) {
      document.addEventListener("visibilitychange", look, { once: true });
      return;
    }
    try {
      const answer = await fetch(address, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const now = await answer.json();
      wait = 2000;
      line.textContent = now.ended ? "" : "live";
      line.className = now.ended ? "line" : "line on";
      if (now.html !== shown && !selecting()) {
        const log = live.querySelector(".events");
        const scrolled = log ? log.scrollTop : 0;
        live.innerHTML = now.html; // escaped by the server's templates; the policy of the page runs no inline script
        shown = now.html;
        const fresh = live.querySelector(".events");
        if (fresh) fresh.scrollTop = scrolled;
      }
      if (now.ended) return;
    } catch (error) {
      wait = Math.min(wait * 2, 30000);
      line.textContent = "connection lost, trying again";
      line.className = "line off";
    }
    setTimeout(look, wait);
  }

  function selecting() {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && live.contains(selection.anchorNode);
  }

  look();
})();
