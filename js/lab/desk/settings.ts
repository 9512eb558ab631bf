/** The user's settings, as schema/sidebar.json describes them. */

export interface Settings {
  side: 'left' | 'right';
  statusItem: boolean;
  badge: boolean;
  /** Seconds between two looks at the account while the panel is in sight; 0: only when asked. */
  accountPace: number;
  /** Seconds before the interactive TTL runs out. */
  interactiveWarning: number;
  /** Seconds before the max TTL runs out. */
  maxWarning: number;
  /** Per cent of the usage cap. */
  capWarning: number;
  notifyTtl: boolean;
  notifyCap: boolean;
  notifyFailed: boolean;
  notifyFinished: boolean;
  browserNotifications: boolean;
  offerPanel: boolean;
  /** What becomes of the jobs that a kernel leaves on the service when it ends. */
  whenKernelEnds: 'ask' | 'cancel' | 'leave';
}

export const DEFAULTS: Settings = {
  side: 'left',
  statusItem: true,
  badge: true,
  accountPace: 60,
  interactiveWarning: 30,
  maxWarning: 600,
  capWarning: 80,
  notifyTtl: true,
  notifyCap: true,
  notifyFailed: true,
  notifyFinished: true,
  browserNotifications: false,
  offerPanel: true,
  whenKernelEnds: 'ask',
};

/** Values of the right type; others give way to the default, as an edited file may hold anything. */
export function read(composite: { readonly [name: string]: unknown }): Settings {
  const settings: Record<string, unknown> = { ...DEFAULTS };
  for (const [name, standard] of Object.entries(DEFAULTS)) {
    const value = composite[name];
    if (typeof value === typeof standard && (typeof value !== 'number' || (Number.isFinite(value) && value >= 0)))
      settings[name] = value;
  }
  if (settings.side !== 'right') settings.side = 'left';
  if (!['cancel', 'leave'].includes(String(settings.whenKernelEnds))) settings.whenKernelEnds = 'ask';
  return settings as unknown as Settings;
}
