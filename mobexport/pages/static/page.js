// Live progress: while a page says so, it is fetched again, and the parts that changed are replaced.
// Without this script everything works; the page shows what there was when it was loaded.
"use strict";
(() => {
  const FIRST = 1000; // milliseconds, again after each change
  const MOST = 5000;
  const announcer = document.getElementById("announcer");
  let wait = FIRST;

  const spoken = (root) =>
    new Map([...root.querySelectorAll("[data-say]")].map((one, n) => [n, one.dataset.say]));

  function take(fresh) {
    const before = spoken(document);
    let changed = false;
    for (const part of document.querySelectorAll("[data-part]")) {
      const other = fresh.getElementById(part.id);
      if (!other || other.innerHTML === part.innerHTML) continue;
      changed = true;
      const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
      part.replaceWith(document.adoptNode(other));
      if (focused) (document.getElementById(focused) || document.getElementById("main")).focus();
    }
    const news = [...spoken(document).values()].filter((text) => ![...before.values()].includes(text));
    if (news.length) announcer.textContent = news.slice(0, 3).join(". ");
    return changed;
  }

  async function look() {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
        if (answer.ok) {
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
          wait = take(fresh) ? FIRST : Math.min(1.3 * wait, MOST);
          if (!fresh.querySelector("main[data-live]")) return;
        } else wait = MOST;
      } catch {
        wait = MOST;
      }
    }
    setTimeout(look, wait);
  }

  if (document.querySelector("main[data-live]")) setTimeout(look, wait);
  const problems = document.querySelector(".problems");
  if (problems) problems.focus();
  // A form that was sent is not sent again by a second click.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
})();
