import type { LabIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';
import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ago, useNow } from '../core/clock';
import { shortId } from '../core/facts';
import { Frame } from '../core/mount';
import type { Workload } from '../core/store';
import { WorkloadView } from '../core/views/workload';
import type { Follow, Kernels, Orphan } from './kernels';
import css from './panel.css';

const PAST = 2; // closed workloads that stay in sight; older ones fold away

/** The sidebar: the workloads of all running kernels. */
export class Panel extends Widget {
  constructor(kernels: Kernels, icon: LabIcon) {
    super();
    this.id = 'qmode-workloads';
    this.addClass('qm-panel');
    this.title.caption = 'Quantum workloads';
    this.title.icon = icon;
    this.node.tabIndex = -1;
    render(
      <Frame>
        <style>{css}</style>
        <Workloads kernels={kernels} />
      </Frame>,
      this.node,
    );
  }

  override dispose(): void {
    if (this.isDisposed) return;
    render(null, this.node);
    super.dispose();
  }

  protected override onActivateRequest(): void {
    this.node.focus();
  }
}

function Workloads({ kernels }: { kernels: Kernels }) {
  const [, redraw] = useState(0);
  useEffect(() => kernels.subscribe(() => redraw(n => n + 1)), [kernels]);
  const shown = kernels.all.filter(({ wire: { store } }) => store.workloads.size > 0 || store.problem !== null);
  const orphans = [...kernels.orphans.values()];
  const open = shown
    .flatMap(({ wire }) => [...wire.store.workloads.values()])
    .filter(({ state }) => state.state !== 'closed').length;
  const sum = [open > 0 ? `${open} open` : '', orphans.length > 0 ? `${orphans.length} unwatched` : '']
    .filter(Boolean)
    .join(', ');
  const empty = shown.length === 0 && orphans.length === 0;
  return (
    <>
      <h2 class="qm-title">Quantum workloads{sum !== '' && <span class="qm-dim"> · {sum}</span>}</h2>
      {empty && <Empty />}
      {shown.map(follow => (
        <KernelGroup key={follow.id} follow={follow} />
      ))}
      {orphans.length > 0 && (
        <section aria-label="Unwatched">
          <h3 class="qm-kernel">
            Unwatched <span class="qm-dim">· kernel gone</span>
          </h3>
          {orphans.map(orphan => (
            <OrphanCard key={orphan.state.id} orphan={orphan} onForget={() => kernels.forget(orphan.state.id)} />
          ))}
        </section>
      )}
    </>
  );
}

function KernelGroup({ follow: { name, spec, wire } }: { follow: Follow }) {
  const { store } = wire;
  const all = [...store.workloads];
  const open = all.filter(([, { state }]) => state.state !== 'closed');
  const past = all.filter(([, { state }]) => state.state === 'closed').reverse();
  const card = ([id, workload]: [string, Workload]) => <WorkloadView key={id} store={store} workload={workload} card />;
  return (
    <section aria-label={name}>
      <h3 class="qm-kernel qm-follow" title={name}>
        <span>{name.split('/').at(-1)}</span>
        <span>{` · ${spec}`}</span>
        {wire.busy && <span>(busy)</span>}
      </h3>
      {store.problem !== null && (
        <div class="qm-card" role="alert">
          {store.problem}
        </div>
      )}
      {[...open, ...past.slice(0, PAST)].map(card)}
      {past.length > PAST && (
        <details>
          <summary class="qm-kernel">{past.length - PAST} more closed</summary>
          {past.slice(PAST).map(card)}
        </details>
      )}
    </section>
  );
}

/** Nothing here can act on it without a kernel; it says how to get it back. */
function OrphanCard({ orphan: { state, name, since }, onForget }: { orphan: Orphan; onForget: () => void }) {
  const [copied, setCopied] = useState(false);
  const now = useNow(true);
  const code = `controller = qmode.attach(${JSON.stringify(state.id)}, service)`;
  const copy =
    typeof navigator.clipboard === 'undefined'
      ? null
      : () =>
          navigator.clipboard.writeText(code).then(
            () => setCopied(true),
            () => undefined,
          );
  return (
    <div class="qm-card" data-orphan={state.id}>
      <div class="qm-head">
        <span class="qm-mode">{state.mode === 'session' ? 'Session' : state.mode === 'batch' ? 'Batch' : 'Jobs'}</span>
        <span>{state.backend}</span>
        <code class="qm-dim" title={state.id}>
          {shortId(state.id)}
        </code>
        <span class="qm-state qm-dim">seen {ago(now - since)} ago</span>
      </div>
      <p class="qm-note">
        Last watched by {name.split('/').at(-1)}. It may still be open and cost usage. To watch it again, run in any
        notebook:
      </p>
      <code class="qm-code">{code}</code>
      <div class="qm-foot">
        <span class="qm-actions">
          {copy !== null && (
            <button type="button" class="qm-button" onClick={() => void copy()}>
              {copied ? 'Copied' : 'Copy code'}
            </button>
          )}
          <button type="button" class="qm-button" onClick={onForget}>
            Forget
          </button>
        </span>
      </div>
    </div>
  );
}

function Empty() {
  return (
    <div class="qm-empty">
      <p>No workload is watched in a running kernel.</p>
      <p class="qm-dim">
        Run this in a notebook to begin; <code>service</code> can be your IBM Quantum account or the embedded one.
      </p>
      <pre class="qm-code">{`import qmode_widgets as qmode

service = qmode.emulator.start().service
batch = qmode.BatchController.open(
    service.least_busy())
batch.submit(primitive, pubs)
batch`}</pre>
      <p class="qm-dim">
        An open session or batch of yours comes back with <code>qmode.attach(id, service)</code>.
      </p>
    </div>
  );
}
