/** Receiving. */
import { closedError } from './error.js'
import { beginWait, endWait, hub, request } from './loop.js'
import { Frame, type Delivery, type MessageQueue, type Settler } from './message.js'
import type { DrainFields, NativeClient, NativeConsumer } from './native.js'

/**
 * Messages whose properties meet a condition in SQL92, such as `price > 10 AND color = 'red'`.
 *
 * The broker judges it. A property is a text and is read as what it is compared with; one that is not
 * there is NULL; `TAGS` and `KEYS` are the tag and the keys. Apache's broker serves it only with
 * `enablePropertyFilter=true`; a broker that does not, or that cannot read the condition, rejects the
 * consumer when it starts.
 */
export interface Sql {
  readonly sql: string
}

/** Topics, each with `*` for every message, tags joined by `||`, or a condition. */
export type Subscriptions = Readonly<Record<string, string | Sql>>

/** Options of a consumer. */
export interface ConsumerOptions {
  /**
   * Where the group starts in a queue that it has no committed offset of: with messages sent from
   * now on, at the beginning, or with the first message stored at or after a time. Default: `last`.
   */
  consumeFrom?: 'last' | 'first' | Date
  /** How many messages of one queue may be unsettled, waiting ones included. Default: 1,000. */
  maxInFlight?: number
  /** How many bytes of bodies of one queue may be unsettled. Default: 32 MiB. */
  maxInFlightBytes?: number
  /** How often a message is delivered again before it goes to the dead-letter topic. Default: 16. */
  maxReconsumeTimes?: number
  /** How often progress is told to the brokers. Default: 5,000. */
  commitIntervalMs?: number
}

/** Options of {@link PushConsumer.run}. */
export interface RunOptions {
  /** How many handlers run at once. Default: 20. */
  concurrency?: number
  /** Ends the consumer, in good order. */
  signal?: AbortSignal
  /**
   * Hears of what handlers throw, and of what could not be handed back. Default: a process warning
   * for each.
   */
  onError?: (error: unknown, delivery: Delivery) => void
}

/** What became of a consumer's messages when it ended. */
export interface DrainReport {
  /** Deliveries that the application had and settled while the consumer ended. */
  finished: number
  /** Messages that had been fetched and were not given to the application: other members get them. */
  handedBack: number
  /** Deliveries that the application had and did not settle in time: they will be delivered again. */
  abandoned: number
  /** The offsets that brokers know now, by queue: the group goes on there. */
  committed: { queue: MessageQueue; offset: number }[]
}

/** What one batch holds at most. */
const BATCH_MESSAGES = 256
const BATCH_BYTES = 256 * 1024
/** Numbers of a verdict, and how many verdicts gather at most. */
const VERDICT = 4
const VERDICTS = 512
const ACK = 0
const NACK = 1
const REJECT = 2
/** The tag of calls whose outcome nobody waits for. */
const NOBODY = 0
/** How long `close` waits for running handlers. */
const CLOSE_WAIT_MS = 10_000
/** How soon a delivery that could not be handed back is handed back again. */
const HAND_BACK_AGAIN_MS = 5_000

type Result = IteratorResult<Delivery, undefined>
const END: Result = { done: true, value: undefined }
const DONE = Promise.resolve()

/**
 * A member of a consumer group. It joins the group at the first `next`, `run` or `start`.
 *
 * Iterate it, and settle each delivery; leaving the loop closes it. Or give `run` a handler.
 */
export class PushConsumer implements AsyncIterable<Delivery> {
  /** The consumer's group. */
  readonly group: string
  readonly #client: NativeClient
  readonly #subscriptions: Subscriptions
  readonly #options: ConsumerOptions
  readonly #onClose: (consumer: PushConsumer) => void
  #native: NativeConsumer | undefined
  #starting: Promise<this> | undefined
  #ending: Promise<DrainReport> | undefined
  #running = 0

  #frame: Frame | undefined
  /** Whether a batch was taken in this turn of the event loop; others get theirs in the next. */
  #hasTaken = false
  #isAtEnd = false
  #waiters: ((result: Result) => void)[] = []

  readonly #acks = new Float64Array(VERDICT * VERDICTS)
  #ackCount = 0
  #isTurnDue = false

  /** @internal */
  constructor(
    client: NativeClient,
    group: string,
    subscriptions: Subscriptions,
    options: ConsumerOptions,
    onClose: (consumer: PushConsumer) => void,
  ) {
    this.#client = client
    this.group = group
    this.#subscriptions = { ...subscriptions }
    this.#options = { ...options }
    this.#onClose = onClose
  }

  /**
   * Joins the group. Resolves once this member has its first share of the queues, if any is to be
   * had.
   */
  start(): Promise<this> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  async #start(): Promise<this> {
    if (this.#ending !== undefined) throw closedError('start consumer')
    const { consumeFrom, ...options } = this.#options
    const from =
      consumeFrom instanceof Date
        ? { fromTimestamp: consumeFrom.getTime() }
        : { fromFirst: consumeFrom === 'first' }
    const subscriptions = Object.entries(this.#subscriptions).map(([topic, wanted]) =>
      typeof wanted === 'string'
        ? { topic, expression: wanted, isSql: false }
        : { topic, expression: wanted.sql, isSql: true },
    )
    const native = await request(
      (tag) => this.#client.consumer(tag, this.group, subscriptions, { ...options, ...from }),
      (tag) => hub.takeConsumer(tag)!,
    )
    this.#native = native
    return this
  }

  /** The next delivery; `done` once the consumer has ended. Several may be waited for at once. */
  next(): Promise<Result> {
    const delivery = this.#waiters.length === 0 ? this.#shift() : undefined
    if (delivery !== undefined) return Promise.resolve({ done: false, value: delivery })
    if (this.#isAtEnd || this.#ending !== undefined) return Promise.resolve(END)
    if (this.#native === undefined) return this.start().then(() => this.next())
    return new Promise((resolve) => {
      this.#waiters.push(resolve)
      beginWait(this.#wake)
    })
  }

  /** Leaving the loop closes the consumer; what was taken and not looked at goes back. */
  [Symbol.asyncIterator](): AsyncIterator<Delivery, undefined> {
    return {
      next: () => this.next(),
      return: async () => {
        await this.close()
        return END
      },
    }
  }

  /**
   * Calls `handler` with each delivery, several at once, until the consumer has ended. A delivery
   * is acked when its handler returns, unless the handler has settled it; one whose handler throws
   * is handed back, to be delivered again later.
   */
  async run(
    handler: (delivery: Delivery) => unknown,
    options: RunOptions = {},
  ): Promise<void> {
    const { concurrency = 20, signal, onError = warn } = options
    const end = (): void => void this.close()
    signal?.throwIfAborted()
    signal?.addEventListener('abort', end, { once: true })
    this.#running++
    try {
      await this.start()
      const work = async (): Promise<void> => {
        for (;;) {
          const { done, value: delivery } = await this.next()
          if (done === true) return
          await this.#handle(delivery, handler, onError)
        }
      }
      await Promise.all(Array.from({ length: Math.max(1, concurrency) }, work))
    } finally {
      this.#running--
      signal?.removeEventListener('abort', end)
    }
    await this.#ending
  }

  async #handle(
    delivery: Delivery,
    handler: (delivery: Delivery) => unknown,
    onError: (error: unknown, delivery: Delivery) => void,
  ): Promise<void> {
    try {
      await handler(delivery)
      await delivery.ack()
      return
    } catch (error) {
      onError(error, delivery)
    }
    while (!delivery.isSettled && this.#native !== undefined) {
      try {
        await delivery.nack()
      } catch (error) {
        onError(error, delivery)
        await new Promise((resolve) => setTimeout(resolve, HAND_BACK_AGAIN_MS).unref())
      }
    }
  }

  /** The queues that this member owns now. */
  get assignment(): MessageQueue[] {
    return this.#native?.assignment() ?? []
  }

  /** Tells brokers of all progress now. It also happens every few seconds by itself. */
  async commit(): Promise<void> {
    await this.start()
    const native = this.#open('commit')
    this.#flush()
    await request((tag) => native.commit(tag), () => undefined)
  }

  /**
   * Takes no more messages, waits until those that the application has are settled or `deadlineMs`
   * have passed, commits, leaves the group, and says what became of everything.
   */
  drain(deadlineMs = 30_000): Promise<DrainReport> {
    this.#ending ??= this.#end(deadlineMs)
    return this.#ending
  }

  /** Ends the consumer: as `drain`, waiting for running handlers only. */
  async close(): Promise<void> {
    await this.drain(this.#running > 0 ? CLOSE_WAIT_MS : 0)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #end(deadlineMs: number): Promise<DrainReport> {
    try {
      // One that could not start has told so already.
      await this.#starting?.catch(() => undefined)
      const native = this.#native
      if (native === undefined) {
        return { finished: 0, handedBack: 0, abandoned: 0, committed: [] }
      }
      const untaken = this.#frame?.abandon() ?? 0
      this.#finishWaiters()
      this.#flush()
      const report = await request(
        (tag) => native.drain(tag, deadlineMs, untaken),
        (_, detail) => readReport(detail?.drained),
      )
      native.close()
      this.#native = undefined
      return report
    } finally {
      this.#isAtEnd = true
      this.#finishWaiters()
      this.#onClose(this)
    }
  }

  #open(operation: string): NativeConsumer {
    if (this.#native === undefined) throw closedError(operation, 'the consumer has ended')
    return this.#native
  }

  /** Takes the next delivery: of the batch at hand, or of a new one. */
  #shift(): Delivery | undefined {
    if (this.#ending !== undefined) return undefined
    const delivery = this.#frame?.shift()
    if (delivery !== undefined || this.#hasTaken || this.#native === undefined) return delivery
    this.#flush()
    const bytes = this.#native.take(BATCH_MESSAGES, BATCH_BYTES)
    if (bytes === null) return undefined
    this.#isAtEnd = bytes.length === 0
    this.#frame = new Frame(bytes, this.#settler)
    // Whoever loops over messages that are there must let others have their turn.
    this.#hasTaken = true
    this.#turnLater()
    return this.#frame.shift()
  }

  /** Serves those who wait. */
  readonly #wake = (): void => {
    while (this.#waiters.length > 0) {
      const delivery = this.#shift()
      if (delivery === undefined) break
      this.#waiters.shift()!({ done: false, value: delivery })
    }
    if (this.#isAtEnd) this.#finishWaiters()
    if (this.#waiters.length === 0) endWait(this.#wake)
  }

  #finishWaiters(): void {
    for (const resolve of this.#waiters.splice(0)) resolve(END)
    endWait(this.#wake)
  }

  /** In the next turn of the event loop: acks go in, and a new batch may be taken. */
  #turnLater(): void {
    if (this.#isTurnDue) return
    this.#isTurnDue = true
    setImmediate(() => {
      this.#isTurnDue = false
      this.#hasTaken = false
      this.#flush()
      this.#wake()
    })
  }

  /** Tells the native half of gathered acks. */
  #flush(): void {
    if (this.#ackCount === 0) return
    const acks = this.#acks.subarray(0, this.#ackCount * VERDICT)
    this.#ackCount = 0
    this.#native?.settle(NOBODY, acks)
  }

  readonly #settler: Settler = {
    ack: (upper, lower) => {
      if (this.#native === undefined) {
        return Promise.reject(
          closedError('ack', 'the consumer has ended: the message will be delivered again'),
        )
      }
      this.#acks.set([upper, lower, ACK, 0], this.#ackCount++ * VERDICT)
      if (this.#ackCount === VERDICTS || this.#ending !== undefined) this.#flush()
      else this.#turnLater()
      return DONE
    },
    handBack: (upper, lower, delayMs) => this.#handBack('nack', [upper, lower, NACK, delayMs]),
    reject: (upper, lower, delivery, reason) => {
      this.#native?.noteRejection(delivery.messageId, delivery.topic, reason)
      return this.#handBack('reject', [upper, lower, REJECT, 0])
    },
  }

  async #handBack(operation: string, verdict: number[]): Promise<void> {
    const native = this.#open(operation)
    await request((tag) => native.settle(tag, Float64Array.from(verdict)), () => undefined)
  }
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error))
}

function readReport(fields: DrainFields | undefined): DrainReport {
  if (fields === undefined) throw closedError('drain')
  const { finished, handedBack, abandoned, committed } = fields
  return { finished, handedBack, abandoned, committed }
}
