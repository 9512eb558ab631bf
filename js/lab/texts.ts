/** Our texts as JupyterLab's translator gives them: it loads the language pack that has our domain. */
import type { ITranslator } from '@jupyterlab/translation';
import { speak } from '../core/texts';

const DOMAIN = 'qmode_widgets';

/** Null: JupyterLab runs without a translator, and our texts are English. */
export function speakWith(translator: ITranslator | null): void {
  speak(translator?.load(DOMAIN) ?? null);
}
