/** Metrics of one sandbox. */
import type { SandboxMetrics } from "./models.js";
import type { Scope } from "./scope.js";

/** `sandbox.metrics`: what the sandbox uses. Each call asks the server. */
export class Metrics {
  /** @internal */
  constructor(private readonly scope: Scope) {}

  /** All of them. */
  async all(): Promise<SandboxMetrics> {
    const { sandboxes } = await this.scope.call<{ sandboxes: SandboxMetrics[] }>("metrics.get");
    const { namespace, name } = this.scope;
    const none = { namespace, name, running: false, cpu_usage: null, memory_usage: null, disk_usage: null };
    return sandboxes[0] ?? none;
  }

  /** CPU time since the last look, in percent of one CPU of the host; null if unknown. */
  async cpu(): Promise<number | null> {
    return (await this.all()).cpu_usage;
  }

  /** Memory that it has on the host, in MiB; null if unknown. */
  async memory(): Promise<number | null> {
    return (await this.all()).memory_usage;
  }

  /** Bytes that its disk takes on the host; null if unknown. */
  async disk(): Promise<number | null> {
    return (await this.all()).disk_usage;
  }

  /** Whether it runs. */
  async isRunning(): Promise<boolean> {
    return (await this.all()).running;
  }
}
