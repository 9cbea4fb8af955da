"use strict";
// Only comforts: everything on these pages can be read and done without them.

function announce(text) {
  const place = document.getElementById("announce");
  if (place) place.textContent = text;
}

function copy(button) {
  const code = document.getElementById(button.dataset.copy);
  const done = () => {
    button.textContent = "Copied";
    announce("The restore command is copied.");
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };
  const select = () => {
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    if (document.execCommand("copy")) done();
  };
  // There is no clipboard on pages that came over plain http from elsewhere.
  if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, select);
  else select();
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

const log = document.getElementById("log");
if (log && log.dataset.follow) {
  const events = new EventSource(log.dataset.follow);
  events.addEventListener("log", (event) => {
    const below = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(event.data + "\n");
    if (below) log.scrollTop = log.scrollHeight;
  });
  events.addEventListener("end", (event) => {
    events.close();
    const run = JSON.parse(event.data);
    announce("The run has " + run.state + ".");
    document.getElementById("state").textContent = run.state;
    setTimeout(() => location.reload(), 700);
  });
}
