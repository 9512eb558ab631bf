/** The JupyterLab plugin: wires the panel, its command and the cells' bridge together. */
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { LabIcon } from '@jupyterlab/ui-components';
import '../cell/bridge';
import svgstr from './icon.svg';
import { Kernels } from './kernels';
import { Outputs } from './output';
import { Panel } from './panel';

const SHOW = 'qmode-widgets:show';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'qmode-widgets:sidebar',
  description: 'Quantum workloads of all running kernels, in the left sidebar.',
  autoStart: true,
  optional: [ILayoutRestorer, ICommandPalette, IRenderMimeRegistry],
  activate: (
    app: JupyterFrontEnd,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    rendermime: IRenderMimeRegistry | null,
  ) => {
    const { sessions, kernelspecs } = app.serviceManager;
    const kernels = new Kernels(sessions, kernelspecs);
    if (rendermime !== null) new Outputs(app, kernels, rendermime);
    const icon = new LabIcon({ name: 'qmode-widgets:workloads', svgstr });
    const panel = new Panel(kernels, icon);
    app.shell.add(panel, 'left', { rank: 600 });
    restorer?.add(panel, panel.id);
    app.commands.addCommand(SHOW, {
      label: 'Show Quantum Workloads',
      caption: 'Sessions, batches and jobs of all running kernels',
      icon,
      execute: () => app.shell.activateById(panel.id),
    });
    palette?.addItem({ command: SHOW, category: 'Quantum' });
    window.qmodeWidgetsBridge = { send: (process, request) => kernels.send(process, request) };
  },
};

export default plugin;
