/** A server, apart from any one sandbox. */
import type { ConnectionOptions } from "./environment.js";
import type { SandboxInfo, SandboxMetrics } from "./models.js";
import { Transport } from "./transport.js";

/** Asks a server about all of its sandboxes. */
export class Client {
  private readonly transport: Transport;

  constructor(options: ConnectionOptions = {}) {
    this.transport = new Transport(options);
  }

  /** What the server says of itself; an error if it does not answer. Needs no key. */
  async health(): Promise<string> {
    return await this.transport.health();
  }

  /** Sandboxes, with stopped (default) also those that have but a disk. Namespace `*` (default) is all that the key allows. */
  async list(options: { namespace?: string; stopped?: boolean } = {}): Promise<SandboxInfo[]> {
    const params = { namespace: options.namespace ?? "*", stopped: options.stopped ?? true };
    const result = await this.transport.call("sandbox.list", params);
    return (result as { sandboxes: SandboxInfo[] }).sandboxes;
  }

  /** What the running sandboxes use. */
  async metrics(options: { namespace?: string } = {}): Promise<SandboxMetrics[]> {
    const result = await this.transport.call("sandbox.metrics.get", { namespace: options.namespace ?? "*" });
    return (result as { sandboxes: SandboxMetrics[] }).sandboxes;
  }

  /** Removes a sandbox and its disk. */
  async remove(name: string, namespace = "default"): Promise<void> {
    await this.transport.call("sandbox.remove", { namespace, sandbox: name });
  }
}
