/** Sending. */
import { argumentError, closedError } from './error.js'
import { begin, forget, request, type Call } from './loop.js'
import type { Message, MessageQueue, Receipt } from './message.js'
import type { MessageExtra, NativeProducer, ReceiptFields } from './native.js'

/** Options of a producer. */
export interface ProducerOptions {
  /** Total time allowed for a send, retries included, from the moment it is handed over. Default: 10,000. */
  timeoutMs?: number
  /** Time allowed for one attempt. Default: 3,000. */
  attemptTimeoutMs?: number
  /** How often a failed attempt is repeated. Default: 2. */
  retries?: number
  /** The longest body, before compression. Default: 4 MiB. */
  maxMessageBytes?: number
  /** Bodies longer than this are compressed. Default: 4,096. */
  compressAbove?: number
  /** How many sends may be under way; further ones wait for their turn. Default: 16,384. */
  maxPending?: number
}

/** How one message is to be sent. */
export interface SendOptions {
  /**
   * Gives the send up: its promise rejects with the signal's reason, and no further attempt is
   * made. A request that has left cannot be called back: the message may be stored.
   */
  signal?: AbortSignal | undefined
  /** Total time allowed, retries included. Default: the producer's. */
  timeoutMs?: number | undefined
  /** To this queue only. Default: the queues take turns. */
  queue?: MessageQueue | undefined
  /** To the queue that belongs to this text: messages of equal shards keep their order. */
  shard?: string | undefined
}

const DEFAULT_MAX_PENDING = 16_384

/** A list that is taken from at its front. */
class Line<T> {
  #items: T[] = []
  #first = 0

  get length(): number {
    return this.#items.length - this.#first
  }

  push(item: T): void {
    this.#items.push(item)
  }

  shift(): T | undefined {
    const item = this.#items[this.#first]
    if (item === undefined) return undefined
    this.#first++
    if (this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first)
      this.#first = 0
    }
    return item
  }
}

/** A send, from the moment it is asked for to its outcome. */
class Send implements Call {
  readonly #producer: Gate
  readonly #resolve: (receipt: Receipt | void) => void
  readonly #reject: (reason: unknown) => void
  readonly #signal: AbortSignal | undefined
  readonly message: Message
  readonly extra: MessageExtra | undefined
  readonly isOneway: boolean
  isAborted = false
  /** While under way. */
  tag: number | undefined

  constructor(
    producer: Gate,
    message: Message,
    options: SendOptions | undefined,
    isOneway: boolean,
    resolve: (receipt: Receipt | void) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#producer = producer
    this.message = message
    this.extra = extraOf(message, options)
    this.isOneway = isOneway
    this.#resolve = resolve
    this.#reject = reject
    this.#signal = options?.signal
    this.#signal?.addEventListener('abort', this.#abort, { once: true })
  }

  stored(fields: ReceiptFields): void {
    this.#end()
    this.#resolve({
      messageId: fields.messageId,
      offsetMessageId: fields.offsetMessageId,
      queue: {
        topic: this.message.topic,
        brokerName: fields.brokerName,
        queueId: fields.queueId,
      },
      queueOffset: fields.queueOffset,
      status: fields.status as Receipt['status'],
      attempts: fields.attempts,
      ...(fields.recallHandle != null && { recallHandle: fields.recallHandle }),
    })
  }

  done(): void {
    this.#end()
    this.#resolve()
  }

  failed(error: unknown): void {
    this.#end()
    this.#reject(error)
  }

  #end(): void {
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#producer.ended(this)
  }

  /** The outcome will come, and nobody will hear of it. */
  readonly #abort = (): void => {
    this.isAborted = true
    this.#reject(this.#signal?.reason)
    this.#producer.aborted(this)
  }
}

/** Lets so many sends be under way, and the others wait in line. */
class Gate {
  readonly #native: NativeProducer
  readonly #maxPending: number
  readonly #line = new Line<Send>()
  /** Under way. */
  #pending = 0
  /** Those of them that nobody waits for any more. */
  #abandoned = 0
  #isLettingIn = false
  #idle: (() => void)[] = []

  constructor(native: NativeProducer, maxPending: number) {
    this.#native = native
    this.#maxPending = maxPending
  }

  enter(send: Send): void {
    if (this.#line.length > 0 || !this.#submit(send)) this.#line.push(send)
  }

  ended(send: Send): void {
    if (send.tag !== undefined) this.#pending--
    if (send.tag !== undefined && send.isAborted) this.#abandoned--
    send.tag = undefined
    this.#letIn()
  }

  aborted(send: Send): void {
    if (send.tag === undefined) return
    this.#abandoned++
    this.#native.cancel(send.tag)
    this.#tellIdle()
  }

  /** Waits until every send has the outcome that its caller waits for. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve)
      this.#tellIdle()
    })
  }

  #tellIdle(): void {
    if (this.#pending > this.#abandoned || this.#line.length > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #letIn(): void {
    // A send that fails at once ends here again, and the loop goes on anyway.
    if (this.#isLettingIn) return
    this.#isLettingIn = true
    while (this.#pending < this.#maxPending) {
      const send = this.#line.shift()
      if (send === undefined) break
      if (!send.isAborted) this.#submit(send)
    }
    this.#isLettingIn = false
    this.#tellIdle()
  }

  #submit(send: Send): boolean {
    if (this.#pending >= this.#maxPending) return false
    const { message, extra } = send
    const { topic, tag, key } = message
    const number = begin(send)
    send.tag = number
    this.#pending++
    try {
      const body = typeof message.body === 'string' ? Buffer.from(message.body) : message.body
      if (send.isOneway) {
        this.#native.oneway(number, topic, body, tag, key, extra)
      } else if (!this.#native.submit(number, topic, body, tag, key, extra)) {
        // Sends that were submitted elsewhere fill the producer; the next outcome makes room.
        throw closedError('send', 'more sends are under way than the producer allows')
      }
    } catch (error) {
      forget(number)
      send.failed(argumentError('send', error))
    }
    return true
  }
}

/** Sends messages. Made by `client.producer(group)`. */
export class Producer {
  /** The producer's group. */
  readonly group: string
  readonly #native: NativeProducer
  readonly #gate: Gate
  readonly #onClose: (producer: Producer) => void
  #closed: Promise<void> | undefined

  /** @internal */
  constructor(
    native: NativeProducer,
    group: string,
    options: ProducerOptions,
    onClose: (producer: Producer) => void,
  ) {
    this.#native = native
    this.group = group
    this.#gate = new Gate(native, Math.max(1, options.maxPending ?? DEFAULT_MAX_PENDING))
    this.#onClose = onClose
  }

  /**
   * Sends a message. Many may be awaited at once: they travel together.
   *
   * A rejection's `stored` tells whether the message may have been stored nevertheless.
   */
  send(message: Message, options?: SendOptions): Promise<Receipt> {
    return this.#enter(message, options, false) as Promise<Receipt>
  }

  /**
   * Hands a message to a connection and waits for no answer: for messages that may be lost. Rejects
   * if it could not be handed over; nothing is known of it afterwards.
   */
  sendOneway(message: Message): Promise<void> {
    return this.#enter(message, undefined, true) as Promise<void>
  }

  /**
   * Takes back a message that was sent for later, by its receipt's `recallHandle`. The broker does
   * not deliver it if it still waits; there is no telling whether it did. Brokers take messages back
   * from 5.3.1 on, and with their setting `recallMessageEnable=true`.
   */
  async recall(handle: string): Promise<void> {
    if (this.#closed !== undefined) throw closedError('recall', 'the producer is closed')
    await request(
      (tag) => this.#native.recall(tag, handle),
      () => undefined,
    )
  }

  /** Waits for the sends under way, and leaves the group. */
  close(): Promise<void> {
    this.#closed ??= this.#gate.idle().then(() => {
      this.#native.close()
      this.#onClose(this)
    })
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #enter(
    message: Message,
    options: SendOptions | undefined,
    isOneway: boolean,
  ): Promise<Receipt | void> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) throw closedError('send', 'the producer is closed')
      options?.signal?.throwIfAborted()
      this.#gate.enter(new Send(this.#gate, message, options, isOneway, resolve, reject))
    })
  }
}

function timeOf(what: string, time: Date | number): number {
  const ms = Number(time)
  if (!Number.isFinite(ms) || ms < 0) throw argumentError('send', `${what} is no time: ${time}`)
  return ms
}

/** What most messages do without; `undefined` for those. */
function extraOf(message: Message, options: SendOptions | undefined): MessageExtra | undefined {
  const { keys, properties, delayLevel, delayMs, deliverAt, flag } = message
  const { queue, shard, timeoutMs } = options ?? {}
  const isPlain =
    keys === undefined &&
    properties === undefined &&
    delayLevel === undefined &&
    delayMs === undefined &&
    deliverAt === undefined &&
    flag === undefined &&
    queue === undefined &&
    shard === undefined &&
    timeoutMs === undefined
  if (isPlain) return undefined
  const extra: MessageExtra = {}
  if (keys !== undefined) extra.keys = [...keys]
  if (properties !== undefined) extra.properties = Object.entries(properties).flat()
  if ([delayLevel, delayMs, deliverAt].filter((delay) => delay !== undefined).length > 1) {
    throw argumentError('send', 'give one of delayLevel, delayMs and deliverAt')
  }
  if (delayLevel !== undefined) extra.delayLevel = delayLevel
  if (delayMs !== undefined) extra.delayMs = timeOf('delayMs', delayMs)
  if (deliverAt !== undefined) extra.deliverAtMs = timeOf('deliverAt', deliverAt)
  if (flag !== undefined) extra.flag = flag
  if (queue !== undefined) extra.queue = queue
  if (shard !== undefined) extra.shard = shard
  if (timeoutMs !== undefined) extra.timeoutMs = timeoutMs
  return extra
}
