/** The status bar's item: the nearest deadline, or what runs and what was spent today. Opens the panel. */
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import { billText } from '../../core/bill';
import { duration } from '../../core/clock';
import type { Desk } from './desk';
import { trans } from '../../core/texts';
import { nearest, spentToday, titleOf } from './triage';

export class StatusItem extends Widget {
  readonly activeStateChanged = new Signal<this, void>(this);
  private readonly button = document.createElement('button');
  private active = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly stop: () => void;

  constructor(
    private readonly desk: Desk,
    open: () => void,
  ) {
    super();
    this.addClass('qm-status');
    this.button.type = 'button';
    this.button.className = 'qm-status-button jp-StatusBar-TextItem';
    this.button.onclick = open;
    this.node.append(this.button);
    this.stop = desk.subscribe(() => this.draw());
    document.addEventListener('visibilitychange', this.draw);
    this.draw();
  }

  /** Something is worth a place in the bar. */
  readonly isActive = (): boolean => this.active;

  override dispose(): void {
    if (this.isDisposed) return;
    this.stop();
    clearTimeout(this.timer);
    document.removeEventListener('visibilitychange', this.draw);
    super.dispose();
  }

  private readonly draw = (): void => {
    clearTimeout(this.timer);
    const { triage } = this.desk;
    const near = nearest(triage);
    const now = Date.now() / 1000;
    let text: string;
    if (near !== null) {
      text = `◷ ${titleOf(near.entry)} ${duration(near.deadline - now)}`;
      // On the second, as every other clock of the page; none for a tab nobody sees.
      if (!document.hidden) this.timer = setTimeout(this.draw, 1000 - (Date.now() % 1000));
    } else {
      const needs = triage.groups.get('needs')?.length ?? 0;
      const running = triage.groups.get('running')?.length ?? 0;
      const spent = spentToday(triage.entries.values(), now);
      if (spent.guessed && !document.hidden) this.timer = setTimeout(this.draw, 1000 - (Date.now() % 1000));
      text = [
        needs > 0 ? trans._n('%1 needs you', '%1 need you', needs) : '',
        running > 0 ? trans.__('%1 running', running) : '',
        !spent.seconds ? '' : trans.__('%1 today', billText(spent)),
      ]
        .filter(Boolean)
        .join(' · ');
    }
    const warn = near !== null || (triage.groups.get('needs')?.length ?? 0) > 0;
    this.button.classList.toggle('qm-status-warn', warn);
    if (this.button.textContent !== text) this.button.textContent = text;
    this.button.title = trans.__(
      'Quantum workloads: open the panel. Usage of the workloads listed there that were open today.',
    );
    if (this.active === (text !== '')) return;
    this.active = text !== '';
    this.activeStateChanged.emit();
  };
}
