/// <reference lib="es2018" preserve="true" />
/**
 * What the types of this package need of the language, for programs whose `target` or `lib` do not bring it.
 *
 * lib.esnext.disposable has the same, but TypeScript before 5.2 does not have that, and the default libraries of no
 * target include it. Where both are there, TypeScript merges them.
 */
declare global {
  interface SymbolConstructor {
    readonly dispose: unique symbol;
    readonly asyncDispose: unique symbol;
  }

  interface Disposable {
    [Symbol.dispose](): void;
  }

  interface AsyncDisposable {
    [Symbol.asyncDispose](): PromiseLike<void>;
  }
}

export {};
