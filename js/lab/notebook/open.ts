/** Notebooks that the panel opens or adds to. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { ADOPT, BEGIN } from './snippets';

/** The quickstart, written beside the files in sight unless it is there. */
export async function openQuickstart(app: JupyterFrontEnd, folder: string): Promise<void> {
  const { contents } = app.serviceManager;
  const path = folder === '' ? 'quickstart.ipynb' : `${folder}/quickstart.ipynb`;
  const there = await contents.get(path, { content: false }).then(
    () => true,
    () => false,
  );
  if (!there) {
    const { default: content } = await import('../../../notebooks/quickstart.ipynb');
    await contents.save(path, { type: 'notebook', format: 'json', content });
  }
  await app.commands.execute('docmanager:open', { path });
}

interface Notebook {
  readonly revealed: Promise<void>;
  readonly context: { readonly ready: Promise<void> };
  readonly content: {
    activeCellIndex: number;
    readonly activeCell: { readonly model: { readonly sharedModel: { setSource(text: string): void } } } | null;
  };
}

/** A cell above all others of the notebook in sight; a new notebook where there is none. */
export async function insertAdopt(app: JupyterFrontEnd): Promise<void> {
  const { commands, shell } = app;
  const panel: unknown = isNotebook(shell.currentWidget) ? shell.currentWidget : await fresh(app);
  if (!isNotebook(panel)) return;
  await commands.execute('notebook:insert-cell-above');
  panel.content.activeCell?.model.sharedModel.setSource(ADOPT);
}

/** The code that begins, in a new notebook: nothing of the user's is touched. */
export async function insertBegin(app: JupyterFrontEnd): Promise<void> {
  const panel = await fresh(app);
  panel?.content.activeCell?.model.sharedModel.setSource(BEGIN);
}

/** A new notebook, once it has its first cell. */
async function fresh(app: JupyterFrontEnd): Promise<Notebook | null> {
  const { commands, serviceManager, shell } = app;
  const kernelName = serviceManager.kernelspecs.specs?.default; // else a dialog asks
  const args = { activate: true, ...(kernelName === undefined ? {} : { kernelName }) };
  const made: unknown = (await commands.execute('notebook:create-new', args)) ?? shell.currentWidget;
  if (!isNotebook(made)) return null;
  await made.context.ready;
  await made.revealed;
  made.content.activeCellIndex = 0;
  return made;
}

function isNotebook(widget: unknown): widget is Notebook {
  const { content } = (widget ?? {}) as { content?: { activeCell?: unknown; widgets?: unknown } };
  return Array.isArray(content?.widgets) && 'activeCell' in content;
}
