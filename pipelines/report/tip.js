(() => {
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  const show = (event) => {
    const mark = event.target.closest && event.target.closest("[data-tip]");
    if (!mark) { tip.style.display = "none"; return; }
    tip.textContent = mark.dataset.tip;
    tip.style.display = "block";
    const room = document.documentElement.clientWidth;
    const x = Math.min(event.clientX + 14, room - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight < innerHeight;
    tip.style.left = Math.max(x, 8) + "px";
    tip.style.top = (below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10) + "px";
  };
  for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, show);
  addEventListener("scroll", () => { tip.style.display = "none"; }, { passive: true });
})();
