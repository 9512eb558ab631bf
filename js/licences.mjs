import { copyFileSync } from 'node:fs';

// The builder drops licence comments: what the bundles hold says so in a file beside it.
for (const folder of ['labextension/static', 'static'])
  copyFileSync('node_modules/preact/LICENSE', `../qmode_widgets/${folder}/preact.LICENSE.txt`);
