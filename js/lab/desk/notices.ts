/** Gives signals: as JupyterLab's notifications, and as the browser's while the tab is hidden. Each once, each with its action. */
import { Notification as Toast } from '@jupyterlab/apputils';
import type { Desk } from './desk';
import type { Settings } from './settings';
import type { Kind, Signal, Signals } from './signals';
import { reasonText } from './triage';
import { trans } from '../../core/texts';

/** A hidden tab leaves the word to one in sight for so long. */
const DEFER_MS = 2000;

/** By what each is turned off. */
const SETTING: Record<Kind, keyof Settings> = {
  ttl: 'notifyTtl',
  cap: 'notifyCap',
  failed: 'notifyFailed',
  finished: 'notifyFinished',
  left: 'whenKernelEnds',
};

export class Notices {
  /** The toasts that may still be in sight: of each workload one for its deadline, and one for what is new. */
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly toasts = new Map<string, { id: string; level: Signal['level'] }>();

  constructor(
    private readonly desk: Desk,
    private readonly signals: Signals,
    private readonly settings: () => Settings,
    /** Shows the panel; with the entry's row opened or its question asked. */
    private readonly show: (entry: string | null) => void,
    /** Changes a setting. */
    private readonly set: (name: keyof Settings, value: string) => void = () => undefined,
  ) {
    desk.subscribe(() => this.update());
  }

  private update(): void {
    const { triage } = this.desk;
    for (const signal of this.signals.read(triage, Date.now() / 1000)) {
      if (document.hidden) setTimeout(() => void this.give(signal), DEFER_MS);
      else void this.give(signal);
    }
    // A warning of a deadline that no longer holds says something false.
    for (const [key, { id }] of this.toasts) {
      const [kind, entry] = split(key);
      const reason = triage.entries.get(entry)?.reason;
      if (kind !== 'ttl' || reason === 'interactive' || reason === 'max') continue;
      Toast.dismiss(id);
      this.toasts.delete(key);
    }
    void this.offer();
    this.tick();
  }

  /** A notification's countdown runs, as every other does. */
  private tick(): void {
    clearTimeout(this.timer);
    const { entries } = this.desk.triage;
    let runs = false;
    for (const [key, { id }] of this.toasts) {
      const [kind, name] = split(key);
      const entry = entries.get(name);
      if (kind !== 'ttl' || entry === undefined) continue;
      runs = Toast.update({ id, message: reasonText(entry, Date.now() / 1000) }) || runs;
    }
    if (runs && !document.hidden) this.timer = setTimeout(() => this.tick(), 1000 - (Date.now() % 1000));
  }

  private async give(signal: Signal): Promise<void> {
    const settings = this.settings();
    const wish = settings[SETTING[signal.kind]];
    if (wish === false || wish === 'leave' || !(await this.desk.memory.claim(signal.name))) return;
    if (signal.kind === 'left' && wish === 'cancel') this.desk.cancelLeft(signal.entry);
    const options: Toast.IOptions<string> = {
      autoClose: signal.until === null ? false : signal.until * 1000,
      actions: this.actions(signal),
    };
    const key = `${signal.kind === 'ttl' ? 'ttl' : 'news'} ${signal.entry}`;
    // What is new of one workload is one notification: forty failures count up in it, and its end takes their place.
    // Of another level it is a new one: JupyterLab leaves the old colour at the edge of a notification that it updates.
    const there = this.toasts.get(key);
    const same = there?.level === signal.level;
    if (!same || !Toast.update({ id: there.id, message: signal.text, type: signal.level, ...options })) {
      if (there !== undefined) Toast.dismiss(there.id);
      this.toasts.set(key, { id: Toast.emit(signal.text, signal.level, options), level: signal.level });
    }
    this.tick();
    if (document.hidden && settings.browserNotifications) this.tellOutside(signal);
  }

  private actions({ action, entry }: Signal): Toast.IAction[] {
    const look = { label: trans.__('Show'), callback: () => this.show(entry) };
    if (action === null) return [look];
    const label =
      action === 'end' ? trans.__('End session…') : action === 'cancel' ? trans.__('Cancel…') : trans.__('Run again…');
    if (action === 'cancel' && this.settings().whenKernelEnds === 'cancel') return [look];
    // It asks in the panel first: what it costs or ends stands there.
    const ask: Toast.IAction = {
      label,
      displayType: 'accent',
      callback: () => this.desk.begin(entry, action, this.show),
    };
    if (action !== 'cancel') return [look, ask];
    const never = { label: trans.__('Never ask'), callback: () => this.set('whenKernelEnds', 'leave') };
    return [look, never, ask];
  }

  private tellOutside({ text, name, entry }: Signal): void {
    if (typeof Notification === 'undefined' || Notification.permission !== 'granted') return;
    const told = new Notification(trans.__('Quantum workloads'), { body: text, tag: name });
    told.onclick = () => {
      window.focus();
      this.show(entry);
      told.close();
    };
  }

  /** Once in a user's life: there is a panel. */
  private async offer(): Promise<void> {
    const { memory, triage } = this.desk;
    if (memory.offered || !this.settings().offerPanel) return;
    if (![...triage.entries.values()].some(({ watches }) => watches.length > 0)) return;
    memory.offered = true;
    memory.save();
    if (this.desk.inSight || !(await memory.claim('offered'))) return;
    Toast.info(
      trans.__('Your quantum workloads are listed in the panel “Quantum workloads”, also while a cell runs.'),
      {
        autoClose: 15_000,
        actions: [{ label: trans.__('Open the panel'), displayType: 'accent', callback: () => this.show(null) }],
      },
    );
  }
}

function split(key: string): [string, string] {
  const space = key.indexOf(' ');
  return [key.slice(0, space), key.slice(space + 1)];
}

/** Ask the browser, in answer to a click: browsers refuse otherwise. True if it may notify. */
export async function allowOutside(): Promise<boolean> {
  if (typeof Notification === 'undefined') return false;
  return (await Notification.requestPermission()) === 'granted';
}
