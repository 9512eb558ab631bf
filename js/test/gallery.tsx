/**
 * The samples in a real browser, for tests/browser/test_samples.py: every state of the cell's view and of the panel, at
 * the width of the window, and the texts of them that cannot be read.
 */
import { mountCell } from '../core/mount';
import type { Action } from '../core/protocol';
import { Store } from '../core/store';
import type { Desk } from '../lab/desk/desk';
import { draw } from '../lab/panel/list';
import { deskOf, DESKS, ROWS, SEEN } from './desks';
import { PAGES } from './pages';
import { hello, snapshot } from './samples';

/** As long as what the service says, and what people call their things. */
const REAL: Record<string, string> = {
  'Σφάλμα.': 'A transient error occurred on the QPU while the job was executed.',
  Πάλι: 'Submit the job again; if it persists contact IBM support with the job id.',
  σημείωση: 'the answer to its submission was lost: being looked up on the service',
  βέτα: 'ibm_marrakesh',
  ιώτα: 'premium-team',
  λάμδα: 'trotter-24',
  λόγος: 'the client has changed: it no longer has what the buttons need',
  Λάθος: '409: the job is in a final state and cannot be cancelled (it ended a moment ago)',
  Τέλος:
    'The kernel that showed this has ended. To watch the workload again: qmode.attach("d2f0b8c4k3a0008v77a1", service)',
  νότα: 'run the cell that makes `service` (premium-team), then the new cell below',
  'HTTP 503': 'The service has not answered the last three requests',
};

function real<T>(value: T): T {
  return JSON.parse(
    JSON.stringify(value, (_, each: unknown) => (typeof each === 'string' ? (REAL[each] ?? each) : each)),
  ) as T;
}

/** Notebooks named as people name theirs. */
const NAMED: Record<string, () => Desk> = {
  'short name': () => deskOf(ROWS, SEEN, false, 'second.ipynb'),
  'long name': () => deskOf(ROWS, SEEN, false, 'trotter-24-qubits-with-twirling-on-two-backends (copy 2).ipynb'),
};

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};
const box = (): HTMLElement => document.querySelector<HTMLElement>('#box')!;
let end = (): void => undefined;
let store: Store;

async function show(name: string): Promise<void> {
  end();
  box().className = '';
  const page = PAGES[name]!();
  store = new Store(() => true);
  store.receive(hello(['ω1']));
  store.receive(snapshot(real(page.state), 1, Date.now() / 1000));
  page.then?.(store, () => undefined);
  const unmount = mountCell(
    box(),
    store,
    'ω1',
    page.saved === undefined ? null : { ...page.saved, note: real(page.saved.note) },
  );
  end = () => {
    unmount();
    store.dispose();
  };
  await settle();
}

async function showPanel(name: string): Promise<void> {
  end();
  box().className = 'qm-panel';
  const desk = (DESKS[name] ?? NAMED[name])!();
  await new Promise<void>(resolve => desk.subscribe(resolve)); // it gathers changes before it sorts
  const nothing = (): void => undefined;
  end = draw(box(), desk, { reveal: nothing, openQuickstart: nothing, insertAdopt: nothing, insertBegin: nothing });
  await settle();
}

/**
 * Texts that are not wholly in sight: cut off by a box, outside of the card, or under what another row asks. What a
 * tooltip tells in full is not cut.
 */
function unread(): string[] {
  const found: string[] = [];
  const frame = (box().querySelector('.qm-card') ?? box()).getBoundingClientRect();
  const walker = document.createTreeWalker(box(), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const text = (node.textContent ?? '').trim();
    const parent = node.parentElement!;
    if (text === '' || parent.closest('style, .qm-hidden, [aria-hidden=true]') !== null) continue;
    if (!parent.checkVisibility({ visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const place = range.getBoundingClientRect();
    if (place.width === 0) continue;
    const told = [...ancestors(parent)].some(each => (each.title ?? '').includes(text));
    if (told) continue;
    if (place.left < frame.left - 1 || place.right > frame.right + 1) found.push(`outside: ${text}`);
    for (const each of ancestors(parent)) {
      const { overflowX, overflowY } = getComputedStyle(each);
      const clip = each.getBoundingClientRect();
      const hides = (overflow: string): boolean => overflow === 'hidden' || overflow === 'clip';
      if (hides(overflowX) && (place.left < clip.left - 1 || place.right > clip.right + 1)) found.push(`cut: ${text}`);
      else if (hides(overflowY) && (place.top < clip.top - 3 || place.bottom > clip.bottom + 3))
        found.push(`cut below: ${text}`);
    }
  }
  // Answers stand over their own row, and nothing may stand over them; what else can be clicked is hit in its middle.
  for (const element of box().querySelectorAll('.qm-answer-text, .qm-waiting, button, a, input')) {
    const place = element.getBoundingClientRect();
    const middle = place.top + place.height / 2;
    const list = element.closest('.qm-scroll')?.getBoundingClientRect(); // what it has scrolled away is not in sight
    const sight = { top: Math.max(0, list?.top ?? 0), bottom: Math.min(innerHeight, list?.bottom ?? innerHeight) };
    if (place.width === 0 || middle < sight.top + 1 || middle > sight.bottom - 1) continue;
    const top = document.elementFromPoint(place.left + place.width / 2, middle);
    if (top === null || element.contains(top)) continue;
    const own = top.closest('tr') === element.closest('tr');
    if (own && top.closest('.qm-answer') !== null && element.closest('.qm-answer') === null) continue;
    if (element.matches('button, a, input') || !top.contains(element))
      found.push(`covered: ${element.textContent ?? ''}`);
  }
  for (const part of box().querySelectorAll('.qm-answer, .qm-answer *')) {
    const place = part.getBoundingClientRect();
    for (const row of box().querySelectorAll('tr[data-key], tr[data-detail]')) {
      if (row.contains(part)) continue;
      const other = row.getBoundingClientRect();
      const list = row.closest('.qm-scroll')!.getBoundingClientRect();
      const shared = Math.min(place.bottom, other.bottom, list.bottom) - Math.max(place.top, other.top, list.top);
      if (shared > 0.5) found.push(`over another row by ${Math.round(shared)}: ${part.textContent ?? ''}`);
    }
  }
  for (const axis of box().querySelectorAll('.qm-axis')) {
    const labels = [...axis.querySelectorAll('span')].filter(each =>
      each.checkVisibility({ visibilityProperty: true }),
    );
    const places = labels.map(each => each.getBoundingClientRect());
    if (places.length === 2 && places[1]!.left - places[0]!.right < 4)
      found.push(`touch: ${labels.map(each => each.textContent).join(' and ')}`);
  }
  return found;
}

/** What cannot be read, in light and in dark. */
function cut(): string[] {
  const found = new Set<string>();
  for (const theme of ['light', 'dark']) {
    document.documentElement.style.colorScheme = theme;
    for (const text of unread()) found.add(text);
  }
  return [...found];
}

function* ancestors(element: HTMLElement): Generator<HTMLElement> {
  for (let each: HTMLElement | null = element; each !== null && each !== box().parentElement; each = each.parentElement)
    yield each;
}

function kindOf(button: HTMLElement): string {
  const entry = button.closest<HTMLElement>('[data-entry]')?.dataset;
  const row =
    button.closest<HTMLElement>('tr')?.dataset.state ??
    (button.matches('.qm-title1') ? entry?.entry : entry?.group) ?? // each row opens to another card
    '';
  return [button.className, button.dataset.action, row, row === '' ? button.textContent : ''].join(' ');
}

/** What cannot be read of a page as it opens, and after a click on one button of each kind. */
async function check(name: string, panel: boolean): Promise<string[]> {
  const open = (): Promise<void> => (panel ? showPanel(name) : show(name));
  await open();
  const found = cut().map(text => `${name}: ${text}`);
  const kinds = new Map<string, number>();
  box()
    .querySelectorAll('button')
    .forEach((button, n) => kinds.has(kindOf(button)) || kinds.set(kindOf(button), n));
  for (const [kind, n] of kinds) {
    await open();
    box().querySelectorAll('button')[n]!.click();
    await settle();
    found.push(...cut().map(text => `${name} > ${kind}: ${text}`));
    const choose = box().querySelector<HTMLElement>('.qm-choose:enabled');
    if (choose === null) continue;
    choose.click();
    await settle();
    box().querySelector<HTMLElement>('[data-place=":chosen"]')?.click();
    await settle();
    found.push(...cut().map(text => `${name} > ${kind} > chosen: ${text}`));
  }
  return [...new Set(found)];
}

/** Clicks that are under way; `answer` is what the kernel says of them, if it says anything. */
async function click(
  name: string,
  action: Action,
  target: string | null,
  status: string,
  message: string,
): Promise<void> {
  await show(name);
  const id = store.command('ω1', action, target);
  if (status !== '') store.receive({ kind: 'ack', id, status, message: real(message) });
  await settle();
}

Object.assign(window, {
  gallery: {
    pages: Object.keys(PAGES),
    panels: Object.keys(DESKS),
    named: Object.keys(NAMED),
    show,
    showPanel,
    check,
    cut,
    click,
    settle,
  },
});
