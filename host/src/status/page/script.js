"use strict";
(() => {
  const PERIOD = 2000, PATIENCE = 10000;
  const live = document.getElementById("live");
  const news = document.getElementById("news");
  const clock = (time) => time.toLocaleTimeString();
  let timer = 0, asking = false, last = new Date();

  const show = (look, text) => {
    live.hidden = false;
    live.className = "live " + look;
    document.body.classList.toggle("stale", look === "lost");
    // What has not changed is not read out again.
    if (news.textContent !== text) news.textContent = text;
  };

  // Makes one tree like another, and leaves alone what is the same: whoever has scrolled, selected or
  // focused something keeps it.
  const follow = (old, now) => {
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) {
      old.replaceWith(now);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== now.data) old.data = now.data;
      return;
    }
    for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of now.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const [have, want] = [[...old.childNodes], [...now.childNodes]];
    want.forEach((child, place) => (have[place] ? follow(have[place], child) : old.append(child)));
    have.slice(want.length).forEach((child) => child.remove());
  };

  const ask = async () => {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const options = { cache: "no-store", redirect: "error", signal: AbortSignal.timeout(PATIENCE) };
      const answer = await fetch(location.href, options);
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of ["header", "main"]) {
        const found = page.querySelector(part);
        if (!found) throw new Error("no " + part);
        follow(document.querySelector(part), found);
      }
      last = new Date();
      show("", "live");
    } catch {
      show("lost", "proxy not reachable since " + clock(last));
    }
    asking = false;
    plan();
  };

  const plan = () => {
    clearTimeout(timer);
    if (document.hidden) show("paused", "paused");
    else timer = setTimeout(ask, PERIOD);
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? plan() : ask()));
  show("", "live");
  plan();
})();
