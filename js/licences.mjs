import { copyFileSync } from 'node:fs';

// The builder drops licence comments: what the plugin bundles says so in a file beside it.
copyFileSync('node_modules/preact/LICENSE', '../qmode_widgets/labextension/static/preact.LICENSE.txt');
