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
  readonly content: {
    readonly activeCell: { readonly model: { readonly sharedModel: { setSource(text: string): void } } } | null;
  };
}

/** A cell above all others of the notebook in sight; a new notebook where there is none. */
export async function insertAdopt(app: JupyterFrontEnd): Promise<void> {
  const { commands, shell } = app;
  if (!isNotebook(shell.currentWidget)) await commands.execute('notebook:create-new', { activate: true });
  const panel: unknown = shell.currentWidget;
  if (!isNotebook(panel)) return;
  await commands.execute('notebook:insert-cell-above');
  panel.content.activeCell?.model.sharedModel.setSource(ADOPT);
}

/** The code that begins, in a new notebook: nothing of the user's is touched. */
export async function insertBegin(app: JupyterFrontEnd): Promise<void> {
  await app.commands.execute('notebook:create-new', { activate: true });
  const panel: unknown = app.shell.currentWidget;
  if (isNotebook(panel)) panel.content.activeCell?.model.sharedModel.setSource(BEGIN);
}

function isNotebook(widget: unknown): widget is Notebook {
  const { content } = (widget ?? {}) as { content?: { activeCell?: unknown; widgets?: unknown } };
  return Array.isArray(content?.widgets) && 'activeCell' in content;
}
