/** The panel's commands, for palette, menu and launcher. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { LabIcon } from '@jupyterlab/ui-components';
import type { Desk } from './desk/desk';
import type { Ways } from './notebook/ways';
import { whereLauncher } from './elsewhere';
import { trans } from '../core/texts';

export const Ids = {
  show: 'qmode-widgets:show',
  refresh: 'qmode-widgets:refresh',
  account: 'qmode-widgets:account',
  check: 'qmode-widgets:check',
  endIdle: 'qmode-widgets:end-idle',
  cancelAll: 'qmode-widgets:cancel-all',
  quickstart: 'qmode-widgets:open-quickstart',
  adopt: 'qmode-widgets:insert-adopt',
  allow: 'qmode-widgets:allow-browser-notifications',
} as const;

interface Surroundings {
  app: JupyterFrontEnd;
  /** The desk, where it is loaded already. */
  desk: () => Desk | null;
  /** The desk, loaded. */
  load: () => Promise<Desk>;
  to: Ways;
  icon: LabIcon;
  show: () => void;
  settings: () => ISettingRegistry.ISettings | null;
}

export function addCommands({ app, desk, load, to, icon, show, settings }: Surroundings): void {
  const { commands } = app;
  const sweep = (action: 'end-idle' | 'cancel-all') => ({
    isEnabled: () => (desk()?.sweep(action) ?? null) !== null,
    // The question names what it does; it is asked in the panel.
    execute: () => {
      desk()?.ask(desk()?.sweep(action) ?? null);
      show();
    },
  });
  commands.addCommand(Ids.show, {
    label: trans.__('Show Quantum Workloads'),
    caption: trans.__('Sessions, batches and jobs of all running kernels and of the account'),
    icon,
    execute: show,
  });
  commands.addCommand(Ids.refresh, {
    label: trans.__('Refresh Quantum Workloads'),
    execute: async () => (await load()).refreshAll(),
  });
  commands.addCommand(Ids.account, {
    label: trans.__('Look at My Quantum Account'),
    caption: trans.__('Through a kernel that has a service, else through one that the panel starts'),
    execute: async () => {
      show();
      await (await load()).lookUp();
    },
  });
  commands.addCommand(Ids.check, {
    label: trans.__('Check This Quantum Installation'),
    caption: trans.__('Whether all will work here and with your account, before anything is paid; it only reads'),
    execute: async () => {
      show();
      await (await load()).account.runCheck();
    },
  });
  commands.addCommand(Ids.endIdle, { label: trans.__('End All Idle Quantum Sessions…'), ...sweep('end-idle') });
  commands.addCommand(Ids.cancelAll, { label: trans.__('Cancel All Quantum Jobs…'), ...sweep('cancel-all') });
  commands.addCommand(Ids.quickstart, {
    label: args => (args.isLauncher ? trans.__('Quantum Quickstart') : trans.__('Open the Quantum Quickstart')),
    caption: trans.__('A batch on the embedded service: no account, nothing is billed'),
    icon,
    execute: args => to.openQuickstart(typeof args.cwd === 'string' ? args.cwd : ''),
  });
  commands.addCommand(Ids.adopt, {
    label: trans.__('Insert Cell: Watch My Quantum Code'),
    caption: trans.__('A cell after which your own sessions, batches and jobs show in the panel'),
    execute: () => to.insertAdopt(),
  });
  commands.addCommand(Ids.allow, {
    label: trans.__('Allow Browser Notifications of Quantum Workloads'),
    isToggled: () => settings()?.composite.browserNotifications === true,
    execute: async () => {
      const loaded = settings();
      const on =
        loaded?.composite.browserNotifications !== true && (await (await import('./desk/notices')).allowOutside());
      await loaded?.set('browserNotifications', on);
    },
  });
}

export function offerCommands(app: JupyterFrontEnd, palette: ICommandPalette | null): void {
  const category = trans.__('Quantum');
  for (const command of Object.values(Ids)) palette?.addItem({ command, category });
  whereLauncher(app, launcher =>
    launcher.add({ command: Ids.quickstart, category: trans.__('Other'), args: { isLauncher: true }, rank: 10 }),
  );
}
