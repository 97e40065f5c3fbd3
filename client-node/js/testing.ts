/**
 * `oxmq/testing`: a RocketMQ name server and broker inside the test process, on free ports, with a
 * clock that the test moves.
 */
import { makeError } from './error.js'
import { hub, request } from './loop.js'
import type { NativeBroker } from './native.js'

/** Options of {@link DevBroker.start}. */
export interface DevBrokerOptions {
  /** The folder of its store. Default: a temporary one, removed when the broker stops. */
  store?: string
  /** Where its name server listens. Default: `127.0.0.1:0`, any free port. */
  nameServerAddress?: string
  /** Where it listens itself. Default: `127.0.0.1:0`, any free port. */
  brokerAddress?: string
  /** RocketMQ's broker settings, for instance `{ autoCreateTopicEnable: false }`. */
  settings?: Readonly<Record<string, string | number | boolean>>
}

/** A running name server and broker. */
export class DevBroker {
  readonly #native: NativeBroker
  #stopped: Promise<void> | undefined

  private constructor(native: NativeBroker) {
    this.#native = native
  }

  /** Starts one; it serves when the promise resolves. */
  static async start(options: DevBrokerOptions = {}): Promise<DevBroker> {
    const { settings = {}, ...others } = options
    const pairs = Object.entries(settings).flatMap(([key, value]) => [key, String(value)])
    const native = await request(
      (tag) => hub.startBroker(tag, { ...others, settings: pairs }),
      (tag) => {
        throwFailure(tag)
        return hub.takeBroker(tag)!
      },
    )
    return new DevBroker(native)
  }

  /** Where its name server listens: what to give to `connect`. */
  get nameServer(): string {
    return this.#native.nameServer
  }

  /** Where it listens itself. */
  get brokerAddress(): string {
    return this.#native.brokerAddress
  }

  /** The folder of its store. */
  get store(): string {
    return this.#native.store
  }

  /** The broker's time, milliseconds since the Unix epoch; `undefined` once stopped. */
  now(): number | undefined {
    return this.#native.nowMs() ?? undefined
  }

  /** Moves the broker's time ahead: delayed messages become due, locks expire. */
  async advance(ms: number): Promise<void> {
    await request((tag) => this.#native.advance(tag, ms), () => undefined)
  }

  /** Stops it cleanly. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop(false)
    return this.#stopped
  }

  /** Ends it as a crash of its process would. */
  kill(): Promise<void> {
    this.#stopped ??= this.#stop(true)
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(isCrash: boolean): Promise<void> {
    await request((tag) => this.#native.stop(tag, isCrash), throwFailure)
  }
}

function throwFailure(tag: number): void {
  const failure = hub.takeFailure(tag)
  if (failure !== null) throw makeError(failure)
}
