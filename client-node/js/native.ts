/** The native half: how it is found, and what it offers. Only the other files here see it. */
import { createRequire } from 'node:module'
import type { ErrorFields } from './error.js'
import type { MessageQueue } from './message.js'

/** What most messages do without. */
export interface MessageExtra {
  keys?: string[]
  properties?: string[]
  delayLevel?: number
  delayMs?: number
  deliverAtMs?: number
  flag?: number
  queue?: MessageQueue
  shard?: string
  timeoutMs?: number
}

export interface ReceiptFields {
  messageId: string
  offsetMessageId: string
  brokerName: string
  queueId: number
  queueOffset: number
  status: string
  attempts: number
  recallHandle?: string
}

export interface DrainFields {
  finished: number
  handedBack: number
  abandoned: number
  committed: { queue: MessageQueue; offset: number }[]
}

export interface Detail {
  error?: ErrorFields
  drained?: DrainFields
  receipt?: ReceiptFields
}

/** `tag`, everywhere: the number by which the outcome of a call comes back. */
export interface NativeHub {
  drain(numbers: Float64Array, text: Uint8Array): void
  detail(): Detail | null
  connect(
    tag: number,
    nameServers: string,
    options: {
      instanceName?: string
      addressMap?: string[]
      accessKey?: string
      secretKey?: string
      connectTimeoutMs?: number
    },
  ): void
  startBroker(
    tag: number,
    options: {
      store?: string
      nameServerAddress?: string
      brokerAddress?: string
      settings?: string[]
    },
  ): void
  takeClient(tag: number): NativeClient | null
  takeProducer(tag: number): NativeProducer | null
  takeConsumer(tag: number): NativeConsumer | null
  takeBroker(tag: number): NativeBroker | null
  takeFailure(tag: number): ErrorFields | null
  setLog(
    level: string,
    listener: ((level: string, target: string, text: string) => void) | undefined,
  ): void
}

export interface NativeClient {
  readonly clientId: string
  producer(
    tag: number,
    group: string,
    options: {
      timeoutMs?: number
      attemptTimeoutMs?: number
      retries?: number
      maxMessageBytes?: number
      compressAbove?: number
      maxPending?: number
    },
  ): void
  consumer(
    tag: number,
    group: string,
    subscriptions: { topic: string; expression: string; isSql: boolean }[],
    options: {
      fromFirst?: boolean
      fromTimestamp?: number
      maxInFlight?: number
      maxInFlightBytes?: number
      maxReconsumeTimes?: number
      commitIntervalMs?: number
    },
  ): void
  close(): void
}

export interface NativeProducer {
  submit(
    tag: number,
    topic: string,
    body: Uint8Array,
    messageTag: string | undefined,
    key: string | undefined,
    extra: MessageExtra | undefined,
  ): boolean
  oneway(
    tag: number,
    topic: string,
    body: Uint8Array,
    messageTag: string | undefined,
    key: string | undefined,
    extra: MessageExtra | undefined,
  ): void
  recall(tag: number, handle: string): void
  cancel(tag: number): void
  close(): void
}

export interface NativeConsumer {
  take(max: number, maxBytes: number): Buffer | null
  settle(tag: number, verdicts: Float64Array): void
  noteRejection(messageId: string, topic: string, reason: string): void
  assignment(): MessageQueue[]
  commit(tag: number): void
  drain(tag: number, deadlineMs: number, untaken: number): void
  close(): void
}

export interface NativeBroker {
  readonly nameServer: string
  readonly brokerAddress: string
  readonly store: string
  nowMs(): number | null
  advance(tag: number, ms: number): void
  stop(tag: number, isCrash: boolean): void
}

interface Native {
  Hub: new (kick: () => void) => NativeHub
}

function load(): Native {
  const name = `oxmq.${process.platform}-${process.arch}.node`
  try {
    return createRequire(import.meta.url)(`../${name}`) as Native
  } catch (cause) {
    throw new Error(
      `oxmq: its native half ${name} cannot be loaded. This package may lack it for your platform; ` +
        'in a source tree, `npm run build` makes it.',
      { cause },
    )
  }
}

export const native = load()
