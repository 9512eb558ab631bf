/** Where an output of ours is to stand, until what draws it is loaded. */
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Panel as Box } from '@lumino/widgets';
import type { Outputs } from './output';

/** Before widgets (-10): in JupyterLab this is the better view of the two. */
export const RANK = -20;

export class Place extends Box implements IRenderMime.IRenderer {
  private output: Promise<IRenderMime.IRenderer | null> | null = null;

  constructor(private readonly outputs: () => Promise<Outputs>) {
    super();
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.output ??= this.outputs().then(outputs => {
      if (this.isDisposed) return null;
      const output = outputs.create();
      this.addWidget(output);
      return output;
    });
    await (await this.output)?.renderModel(model);
  }
}
