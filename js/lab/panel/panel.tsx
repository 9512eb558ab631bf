/** The sidebar's panel: what needs you, across kernels and the account. Drawn only while it is in sight. */
import type { LabIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import type { Desk } from '../desk/desk';
import { trans } from '../../core/texts';
import type { Navigation } from './navigation';

const BADGE = 'qmode-badge';

export class Panel extends Widget {
  private undraw: (() => void) | null = null;
  private drawing = 0;
  private desk: Desk | null = null;

  constructor(
    private readonly load: () => Promise<Desk>,
    private readonly navigation: Navigation,
    icon: LabIcon,
  ) {
    super();
    this.id = 'qmode-workloads';
    this.addClass('qm-panel');
    this.title.caption = trans.__('Quantum workloads');
    this.title.icon = icon;
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Quantum workloads'));
  }

  /** How many workloads need their user, on the tab. */
  count(needs: number): void {
    const { dataset } = this.title;
    const text = needs === 0 ? '' : String(needs);
    if ((dataset[BADGE] ?? '') === text) return;
    const { [BADGE]: _, ...others } = dataset;
    this.title.dataset = needs === 0 ? others : { ...others, [BADGE]: text };
    const name = trans.__('Quantum workloads');
    this.title.caption = needs === 0 ? name : `${name}: ${trans._n('%1 needs you', '%1 need you', needs)}`;
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.clear();
    super.dispose();
  }

  protected override onAfterShow(): void {
    void this.draw();
  }

  protected override onAfterAttach(): void {
    if (this.isVisible) void this.draw();
  }

  protected override onAfterHide(): void {
    this.clear();
  }

  protected override onBeforeDetach(): void {
    this.clear();
  }

  protected override onActivateRequest(_: Message): void {
    this.node.focus();
  }

  /** The views come with the first look at them: JupyterLab's start does not wait for them. */
  private async draw(): Promise<void> {
    const turn = ++this.drawing;
    let loaded: [typeof import('./list'), Desk];
    try {
      loaded = await Promise.all([import('./list'), this.load()]);
    } catch (error: unknown) {
      console.warn('qmode_widgets: the panel was not loaded', error);
      if (turn === this.drawing && !this.isDisposed) this.offerAnotherTry();
      return;
    }
    const [{ draw }, desk] = loaded;
    if (turn !== this.drawing || this.undraw !== null || this.isDisposed) return;
    this.desk = desk;
    this.node.replaceChildren();
    this.undraw = draw(this.node, desk, this.navigation);
    void desk.sight(true);
  }

  /** In JupyterLab's looks: our views and styles are what did not come. */
  private offerAnotherTry(): void {
    const text = document.createElement('p');
    text.textContent = trans.__('The panel was not loaded. If another try does not help, reload the page.');
    const again = document.createElement('button');
    again.className = 'jp-mod-styled jp-mod-accept';
    again.textContent = trans.__('Try again');
    again.onclick = () => {
      this.node.focus(); // the button goes
      void this.draw();
    };
    const box = document.createElement('div');
    box.setAttribute('role', 'alert');
    box.style.padding = '0 12px';
    box.append(text, again);
    this.node.replaceChildren(box);
  }

  private clear(): void {
    this.drawing++;
    this.undraw?.();
    this.undraw = null;
    void this.desk?.sight(false);
  }
}
