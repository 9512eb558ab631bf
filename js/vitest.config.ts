import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  // JupyterLab brings it at run time; of its modules (installed for their types) a test needs one function.
  resolve: { alias: { '@jupyterlab/services': fileURLToPath(new URL('test/services.ts', import.meta.url)) } },
  test: {
    environment: 'happy-dom',
    pool: 'vmThreads', // a context for each file, as isolated as a process for each, for two thirds of the CPU
    include: ['test/**/*.test.{ts,tsx}'],
    unstubGlobals: true,
    testTimeout: 60_000, // milliseconds: only a test that hangs meets it, also on a busy machine
  },
});
