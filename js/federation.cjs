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

module.exports = { plugins: [new AnyVersion()] };
