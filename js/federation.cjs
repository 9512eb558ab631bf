const { readFileSync } = require('node:fs');
const { resolve } = require('node:path');

/**
 * Packages that JupyterLab shares with us: the version that it has is the one that we use.
 *
 * By default each is compared with a range while JupyterLab starts, and all that can come of it is a warning in the
 * console. `requiredVersion: false` in `sharedPackages` does not help: Rspack makes it "*" and compares with that.
 */
class AnyVersion {
  apply(compiler) {
    compiler.hooks.compilation.tap('AnyVersion', compilation =>
      compilation.hooks.runtimeModule.tap('AnyVersion', ({ name, source }) => {
        if (name !== 'consumes_loading') return;
        const text = source.source.toString('utf8').replace(/requiredVersion: "[^"]*"/g, 'requiredVersion: false');
        source.source = Buffer.from(text);
      }),
    );
  }
}

const lib = file => resolve(__dirname, 'lib', file);
const imported = readFileSync(lib('index.js'), 'utf8').matchAll(/from"\.\/([^"]+)"/g);
const started = new Set(['index.js', ...Array.from(imported, ([, chunk]) => chunk)].map(lib));
/** The plugin and what it imports at once come in the script that JupyterLab loads first, not in one that this asks for. */
const start = {
  name: require('./package.json').name, // of the container
  chunks: 'all',
  enforce: true,
  test: module => started.has(module.nameForCondition()),
};

module.exports = {
  plugins: [new AnyVersion()],
  optimization: { splitChunks: { cacheGroups: { start } } },
};
