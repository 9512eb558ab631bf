"""What tests ask a page, in JavaScript."""

from __future__ import annotations

FOCUSED = "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"

BUSY = "() => document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=busy]')"

# The longest time between two frames, in milliseconds, over 2.5 seconds.
WORST_FRAME = """() => new Promise(done => {
  const begun = performance.now();
  let worst = 0, last = begun;
  const step = time => {
    worst = Math.max(worst, time - last);
    last = time;
    if (time - begun > 2500) done(worst);
    else requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""

# WCAG's contrast of each kind of text in the card against the card.
CONTRAST = """card => {
  const rgb = css => {
    const canvas = document.createElement('canvas').getContext('2d');
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const luminance = c => [.2126, .7152, .0722].reduce((sum, part, i) => sum + part * linear(c[i] / 255), 0);
  const ratio = (a, b) => {
    const [light, dark] = [a, b].map(css => luminance(rgb(css))).sort((p, q) => q - p);
    return (light + .05) / (dark + .05);
  };
  const ground = getComputedStyle(card).backgroundColor;
  const texts = '.qm-name, .qm-state, .qm-note, .qm-big, .qm-aside, td.qm-c-state span, .qm-reason, .qm-count, ' +
    '.qm-button:not(.qm-solid)';
  return Object.fromEntries([...card.querySelectorAll(texts)]
    .filter(text => getComputedStyle(text).opacity !== '0')
    .map(text => [`${text.className}: ${text.textContent.slice(0, 12)}`, ratio(getComputedStyle(text).color, ground)]));
}"""

# Whether what has the focus can be seen where it is.
SEEN = """() => {
  const element = document.activeElement;
  const box = element.getBoundingClientRect();
  const shown = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  return shown && box.width > 0 && box.height > 0;
}"""

# Gives an element an id, and returns it.
NAMED = "e => (e.id ||= `named-${Math.random().toString(36).slice(2)}`)"

# What axe finds in a part of the page, of every impact, as "rule: selector".
AXE = """async ([source, part]) => {
  if (window.axe === undefined) {
    const script = document.createElement('script');
    script.textContent = source;
    document.head.append(script);
  }
  const { violations } = await window.axe.run(part);
  const told = (id, { target, failureSummary }) => `${id}: ${target.join(' ')} ${failureSummary}`;
  return violations.flatMap(({ id, nodes }) => nodes.map(node => told(id, node)));
}"""

# An element's background, as a text to compare.
GROUND = """e => {
  const { backgroundColor, backgroundImage } = getComputedStyle(e);
  return backgroundColor + backgroundImage;
}"""
