/** Files of a sandbox. */
import { NotFoundError } from "./errors.js";
import type { FileEvent, FileInfo } from "./models.js";
import type { Scope } from "./scope.js";
import { iterable } from "./source.js";
import type { Abortable, Stream } from "./stream.js";
import type { Content } from "./transport.js";

/** Whose rights are used. */
export interface UserOption {
  /** User in the sandbox, as user[:group]; absent: the sandbox's user. */
  user?: string;
}

/** Which part of a file is read. */
export interface ReadOptions extends UserOption, Abortable {
  /** Where to begin, in bytes (0). */
  offset?: number;
  /** How many bytes (all). */
  length?: number;
}

/** How a file is written. */
export interface WriteOptions extends UserOption, Abortable {
  /** Permission bits of a new file, in octal, such as "755" (644). */
  mode?: string;
  /** Make directories that are missing (true). */
  parents?: boolean;
}

/** `sandbox.files`: reads and writes files. Paths are absolute. */
export class Files {
  /** @internal */
  constructor(private readonly scope: Scope) {}

  /** The content of a text file. A TypeError if it is not UTF-8; `readBytes` reads any. */
  async read(path: string, options: UserOption & Abortable = {}): Promise<string> {
    return new TextDecoder("utf-8", { fatal: true }).decode(await this.readBytes(path, options));
  }

  /** The content of a file, or a part of it. */
  async readBytes(path: string, options: ReadOptions = {}): Promise<Uint8Array> {
    if (options.length === 0) return new Uint8Array();
    const response = await this.get(path, options);
    try {
      return new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      throw await this.scope.transport.lost(error);
    }
  }

  /** The content of a file of any size, piece by piece. Not all of it is in memory at once. */
  async download(
    path: string,
    options: ReadOptions = {},
  ): Promise<ReadableStream<Uint8Array> & AsyncIterable<Uint8Array>> {
    const body = (await this.get(path, options)).body;
    return iterable(body ?? new Blob([]).stream());
  }

  /** Writes a file: a new one, or in the place of what was there. */
  async write(path: string, content: string | Uint8Array, options: WriteOptions = {}): Promise<FileInfo> {
    return await this.put(path, content, options);
  }

  /**
   * Writes a file of any size, from a Blob (in a browser a File), a ReadableStream or anything else that gives pieces
   * when it is iterated (in Node `fs.createReadStream(path)`). Most browsers send only Blobs without holding all in
   * memory.
   */
  async upload(
    source: Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>,
    path: string,
    options: WriteOptions = {},
  ): Promise<FileInfo> {
    return await this.put(path, source, options);
  }

  /** What a file is. Links are not followed. */
  async stat(path: string, options: UserOption = {}): Promise<FileInfo> {
    return await this.scope.call("files.stat", { path, user: options.user });
  }

  /** Whether there is a file, of whatever kind. A sandbox that is not there is an error. */
  async exists(path: string, options: UserOption = {}): Promise<boolean> {
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      await this.stat("/", options); // it may be the sandbox that is missing: its root directory never is
      return false;
    }
  }

  /** What is in a directory; with depth 2 also what is in directories in it, and so on. At most 100000 files. */
  async list(path: string, options: { depth?: number } & UserOption = {}): Promise<FileInfo[]> {
    const params = { path, depth: options.depth ?? 1, user: options.user };
    return (await this.scope.call<{ entries: FileInfo[] }>("files.list", params)).entries;
  }

  /** Makes a directory; with parents (default) also those above it, and one that is there is no error. */
  async mkdir(path: string, options: { parents?: boolean; mode?: string } & UserOption = {}): Promise<FileInfo> {
    const { mode, user } = options;
    return await this.scope.call("files.mkdir", { path, parents: options.parents ?? true, mode, user });
  }

  /**
   * Renames a file or directory.
   *
   * @throws {@link AlreadyExistsError} The target is there, and replace was not given.
   */
  async move(from: string, to: string, options: { replace?: boolean } & UserOption = {}): Promise<FileInfo> {
    return await this.scope.call("files.move", { from, to, replace: options.replace ?? false, user: options.user });
  }

  /** Removes a file or an empty directory; with recursive also a full one. */
  async remove(path: string, options: { recursive?: boolean } & UserOption = {}): Promise<void> {
    await this.scope.call("files.remove", { path, recursive: options.recursive ?? false, user: options.user });
  }

  /**
   * Changes of a file or directory, as they happen: iterate what this returns, until you leave it. What changes after
   * `await stream.open()` is seen.
   */
  watch(path: string, options: { recursive?: boolean } & UserOption & Abortable = {}): Stream<FileEvent, void> {
    const params = { path, recursive: options.recursive ?? false, user: options.user };
    return this.scope.stream("files.watch", params, () => undefined, options.signal, true);
  }

  private async get(path: string, options: ReadOptions): Promise<Response> {
    const { offset = 0, length } = options;
    const isPart = offset > 0 || length !== undefined;
    const range = isPart ? `bytes=${offset}-${length === undefined ? "" : offset + length - 1}` : undefined;
    return await this.scope.transport.getFile(this.query(path, options.user), range, options.signal);
  }

  private async put(path: string, content: Content, options: WriteOptions): Promise<FileInfo> {
    const query = this.query(path, options.user);
    if (options.mode !== undefined) query["mode"] = options.mode;
    query["parents"] = String(options.parents ?? true);
    return (await this.scope.transport.putFile(query, content, options.signal)) as unknown as FileInfo;
  }

  private query(path: string, user: string | undefined): Record<string, string> {
    const query: Record<string, string> = { namespace: this.scope.namespace, sandbox: this.scope.name, path };
    if (user !== undefined) query["user"] = user;
    return query;
  }
}
