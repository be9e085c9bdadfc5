/** Values that calls return and streams deliver. */

/** Settings of a sandbox. What is absent is the server's default. */
export interface StartOptions {
  /** Reference of an image that the server has. Without one a `Sandbox` starts as it was started before. */
  image?: string;
  /** RAM in MiB (512). */
  memory?: number;
  /** Virtual CPUs (1). */
  cpus?: number;
  /** How many seconds the server may take to start it (180). */
  timeout?: number;
  /** Size of the writable disk in MiB, a hard limit (8192). */
  disk?: number;
  /** Environment, after the image's. */
  envs?: Environment;
  /** Working directory of programs and code. */
  workdir?: string;
  /** User of programs and code, as user[:group]. */
  user?: string;
  /** Shell that runs scripts (/bin/sh). */
  shell?: string;
  /** Scripts by name; `start` is run when the sandbox starts, unless exec is given. */
  scripts?: Record<string, string>;
  /** Program that is started with the sandbox, by its shell. */
  exec?: string;
  /** Seconds after which the sandbox is stopped (no limit). */
  lifetime?: number;
  /** Seconds without a request after which the sandbox is stopped (no limit). */
  idle?: number;
  /** Directories of the host: refused by servers of this version. */
  volumes?: string[];
  /** Published ports: refused by servers of this version. */
  ports?: string[];
  /** Forget the sandbox's disk first; needed to change its image. */
  reset?: boolean;
}

/** Variables by name, or a list of NAME=VALUE. */
export type Environment = Record<string, string> | string[];

/** What a sandbox uses; null where that is not known. Keys are the protocol's. */
export interface SandboxMetrics {
  /** Namespace of the sandbox. */
  namespace: string;
  /** Name of the sandbox. */
  name: string;
  /** Whether it runs. */
  running: boolean;
  /** CPU time since the last look, in percent of one CPU of the host. */
  cpu_usage: number | null;
  /** Memory that it has on the host, in MiB. */
  memory_usage: number | null;
  /** Bytes that its disk takes on the host. */
  disk_usage: number | null;
}

/** One line of output, without its newline. */
export interface OutputLine {
  /** stdout or stderr. */
  readonly stream: string;
  /** The line; what is not UTF-8 is replaced by U+FFFD. */
  readonly text: string;
}

/** A piece of output, as it comes. */
export interface OutputEvent {
  /** Which kind of event this is. */
  readonly type: "output";
  /** stdout or stderr (a process with a terminal: stdout). */
  readonly stream: string;
  /** The piece as text; what is not UTF-8 is replaced by U+FFFD. Never cut within a character. */
  readonly text: string;
  /** The bytes as the program wrote them. */
  readonly data: Uint8Array;
  /** Of processes: where the piece begins, in bytes since the process started. */
  readonly offset?: number;
}

/** Output that a process wrote, and that the server keeps no more. */
export interface DroppedEvent {
  /** Which kind of event this is. */
  readonly type: "dropped";
  /** stdout or stderr. */
  readonly stream: string;
  /** How many bytes are lost. */
  readonly bytes: number;
}

/** A value that code showed. */
export interface DisplayEvent {
  /** Which kind of event this is. */
  readonly type: "display";
  /** The value. */
  readonly display: Display;
}

/** An exception that the code did not catch, as it comes. */
export interface ExceptionEvent {
  /** Which kind of event this is. */
  readonly type: "exception";
  /** The exception. */
  readonly exception: ExceptionInfo;
}

/** A change below a watched path. */
export interface FileEvent {
  /** Which kind of event this is. */
  readonly type: "file";
  /** Absolute path. */
  readonly path: string;
  /** create, write, chmod, remove, rename (its old name is gone) or overflow (some were lost). */
  readonly event: string;
}

/** What the stream of running code delivers. */
export type CodeEvent = OutputEvent | DisplayEvent | ExceptionEvent;
/** What the stream of a process delivers. */
export type ProcessEvent = OutputEvent | DroppedEvent;
/** What any stream delivers. */
export type StreamEvent = CodeEvent | ProcessEvent | FileEvent;

/** A value that code showed, in one or more MIME types. */
export interface Display {
  /** Whether it is the value of the last expression, not something that was displayed. */
  readonly result: boolean;
  /** By MIME type: text as it is, binary types such as image/png in base64, application/json as JSON text. */
  readonly data: Readonly<Record<string, string>>;
  /** Types that were too large to be sent, with their sizes in bytes. */
  readonly omitted: Readonly<Record<string, number>>;
}

/** An exception that the code did not catch. */
export interface ExceptionInfo {
  /** Its type, such as ValueError. */
  readonly name: string;
  /** Its message. */
  readonly value: string;
  /** Lines, as the language prints them. */
  readonly traceback: readonly string[];
}

/** A file of a sandbox. */
export interface FileInfo {
  /** Absolute path. */
  readonly path: string;
  /** Last component of the path. */
  readonly name: string;
  /** file, directory, symlink, fifo, socket, character or block. */
  readonly type: string;
  /** Permission bits, in octal. */
  readonly mode: string;
  /** Bytes. */
  readonly size: number;
  /** Owner. */
  readonly uid: number;
  /** Group. */
  readonly gid: number;
  /** When its content changed last (RFC 3339). */
  readonly modified: string;
  /** Of a symbolic link: where it leads. */
  readonly target?: string;
}

/** A context: variables that stay from one run of code to the next. */
export interface ContextInfo {
  /** Its name. */
  readonly context: string;
  /** python or node. */
  readonly language: string;
  /** Such as 3.11.2. */
  readonly language_version: string;
  /** Whether it runs code now. */
  readonly busy: boolean;
  /** How often it has run code. */
  readonly runs: number;
}

/** How a process ended, or that it runs still. */
export interface ProcessEnd {
  /** It has not ended. */
  readonly running: boolean;
  /** Its exit code; 128 + n if signal n killed it. */
  readonly exit_code: number;
  /** The signal that killed it, if one did. */
  readonly signal?: number;
  /** It was killed because the sandbox had no memory left. */
  readonly out_of_memory: boolean;
}

/** A process that was started with `processes.start` and was not waited for. */
export interface ProcessInfo {
  /** Id. */
  readonly process: string;
  /** Its number in the sandbox; 0 if it has ended. */
  readonly pid: number;
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Whether it has a terminal. */
  readonly pty: boolean;
  /** How it ended, if it has. */
  readonly ended?: ProcessEnd;
}

/** A sandbox of the server. */
export interface SandboxInfo {
  /** Namespace. */
  readonly namespace: string;
  /** Name. */
  readonly name: string;
  /** starting, running, paused (the host's disk is full), stopping or stopped. */
  readonly status: string;
  /** Id of this run; empty if it is stopped. */
  readonly id: string;
  /** Image that it is made over. */
  readonly image: string;
  /** RAM in MiB. */
  readonly memory: number;
  /** Bytes that its disk takes on the host. */
  readonly disk: number;
  /** When it was started (RFC 3339); absent if it is stopped. */
  readonly created?: string;
  /** When its lifetime is over (RFC 3339); absent: never. */
  readonly ends?: string;
  /** Seconds without a request after which it is stopped; absent: never. */
  readonly idle?: number;
  /** Why it ended last, if that is known and it is stopped. */
  readonly last_end?: string;
}

/** When a sandbox is stopped by itself. */
export interface TimeoutInfo {
  /** When its lifetime is over (RFC 3339); absent: never. */
  readonly ends?: string;
  /** Seconds without a request after which it is stopped; absent: never. */
  readonly idle?: number;
}

/** A line that a sandbox's own program wrote. */
export interface LogLine {
  /** When (RFC 3339). */
  readonly time: string;
  /** stdout or stderr. */
  readonly stream: string;
  /** The line, without its newline. */
  readonly text: string;
}
