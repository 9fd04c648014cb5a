"use strict";
// The program. Edit this list; the page follows.
const PROGRAM = [
  { time: "18:30", title: "Why bees do not hold meetings", who: "Ada" },
  { time: "19:15", title: "One spec, three authors", who: "Grace" },
  { time: "20:00", title: "Soup, bread, questions", who: "everyone" },
];

document.getElementById("program").replaceChildren(
  ...PROGRAM.map(({ time, title, who }) => {
    const talk = document.createElement("li");
    const at = document.createElement("span");
    talk.className = "talk";
    at.className = "talk-time";
    at.textContent = time;
    talk.append(at, `${title} – ${who}`);
    return talk;
  }),
);
