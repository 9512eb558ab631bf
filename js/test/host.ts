/**
 * VS Code's side of its own ipywidgets bundle, for tests/browser/test_hosts.py: a kernel, a manager of the bundle's over
 * it, and cells. As VS Code does, it draws a widget where the kernel made one, and knows no extension of JupyterLab's.
 */
import { CommsOverSubshells, type Kernel, KernelManager, ServerConnection } from '@jupyterlab/services';

interface Manager {
  get_model(id: string): Promise<unknown>;
  create_view(model: unknown, options: { el: HTMLElement }): Promise<unknown>;
  display_view(data: unknown, view: unknown, options: { node: HTMLElement }): Promise<unknown>;
  get_state(options: { drop_defaults: boolean }): Promise<unknown>;
}
type Log = (text: string) => void;
interface Bundle {
  load(): void;
  WidgetManager: new (kernel: Kernel.IKernelConnection, element: HTMLElement, scripts: object, log: Log) => Manager;
}
declare const requirejs: { config(options: { paths: Record<string, string> }): void };

const WIDGET = 'application/vnd.jupyter.widget-view+json';
let kernel: Kernel.IKernelConnection;
let manager: Manager;
let last = '';

const scripts = {
  widgetsRegisteredInRequireJs: new Set<string>(),
  successHandler: (): void => undefined,
  errorHandler: (...said: unknown[]): void => console.error('a widget could not be loaded', ...said.map(String)),
  loadWidgetScript: (name: string): Promise<void> => {
    requirejs.config({ paths: { [name]: `/nbextensions/${name}/x/index` } });
    scripts.widgetsRegisteredInRequireJs.add(name);
    return Promise.resolve();
  },
};

async function begin(token: string): Promise<void> {
  const page = window as unknown as { vscIPyWidgets8: Bundle; vscIPyWidgets?: Bundle };
  page.vscIPyWidgets8.load();
  const bundle = page.vscIPyWidgets ?? page.vscIPyWidgets8;
  const { origin } = location;
  const serverSettings = ServerConnection.makeSettings({
    baseUrl: `${origin}/`,
    wsUrl: `${origin.replace('http', 'ws')}/`,
    token,
    appendToken: true,
  });
  kernel = await new KernelManager({ serverSettings }).startNew({ name: 'python3' }, {});
  kernel.commsOverSubshells = CommsOverSubshells.Disabled; // VS Code has none
  await kernel.info;
  const hidden = document.querySelector<HTMLElement>('#hidden')!;
  manager = new bundle.WidgetManager(kernel, hidden, scripts, () => undefined);
}

/** Runs a cell and draws its output; what it printed. */
async function cell(code: string): Promise<string> {
  const output = document.querySelector('#cells')!.appendChild(document.createElement('div'));
  let printed = '';
  const run = kernel.requestExecute({ code, allow_stdin: false }, false);
  run.onIOPub = async ({ header, content }) => {
    const said = content as { text?: string; evalue?: string; data?: Record<string, unknown> };
    if (header.msg_type === 'stream') printed += said.text ?? '';
    else if (header.msg_type === 'error') printed += said.evalue ?? '';
    else if (header.msg_type === 'display_data' && said.data !== undefined) await draw(said.data, output);
  };
  await run.done;
  return printed;
}

async function draw(data: Record<string, unknown>, output: HTMLElement): Promise<void> {
  const view = data[WIDGET] as { model_id: string } | undefined;
  if (view === undefined) return void output.append('no widget');
  last = view.model_id;
  const node = output.appendChild(document.createElement('div'));
  node.className = 'cell-output-ipywidget-background';
  const model = await manager.get_model(view.model_id);
  await manager.display_view(view, await manager.create_view(model, { el: node }), { node });
}

/** The widgets as a page saves them with a notebook, and which of them was shown last. */
async function save(): Promise<[state: unknown, model: string]> {
  return [await manager.get_state({ drop_defaults: false }), last];
}

Object.assign(window, { host: { begin, cell, save } });
