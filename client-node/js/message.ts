/** Messages: what is sent, what is received, and where they lie. */
import { inspect } from 'node:util'

/** One queue of a topic: the unit that a consumer group shares out. */
export interface MessageQueue {
  topic: string
  /** The name of the broker that holds it. */
  brokerName: string
  /** Its number on that broker, from 0. */
  queueId: number
}

/** A message to be sent. */
export interface Message {
  topic: string
  /** A string is sent as UTF-8. Bytes are read when the message is handed over: do not change them before the promise settles. */
  body: Uint8Array | string
  /** What consumers can filter by. */
  tag?: string | undefined
  /** A key that the message can be looked up by, without spaces. */
  key?: string | undefined
  /** Several of them. */
  keys?: readonly string[] | undefined
  /** Properties of the application's own. */
  properties?: Readonly<Record<string, string>> | undefined
  /** Delivers it later: 1 to 18 are 1 s, 5 s, 10 s, 30 s, 1 to 10 min, 20 min, 30 min, 1 h, 2 h. */
  delayLevel?: number | undefined
  /**
   * Delivers it after so many milliseconds: to the second, for up to three days unless the broker
   * is configured otherwise. Brokers of 5.x keep timed messages; 4.9 knows none and delivers at
   * once. Give one of `delayLevel`, `delayMs` and `deliverAt`.
   */
  delayMs?: number | undefined
  /** Delivers it at this time, a `Date` or milliseconds since the Unix epoch; otherwise as `delayMs`. */
  deliverAt?: Date | number | undefined
  /** The application's flag, which RocketMQ only carries. */
  flag?: number | undefined
}

/** A message was stored, and this is where. */
export interface Receipt {
  /** The message's id, the same for every attempt: what consumers see. */
  messageId: string
  /** Where the broker keeps it; another copy of the message has another. */
  offsetMessageId: string
  /** The queue it is in. */
  queue: MessageQueue
  /** Its place in the queue, from 0. A number: exact up to 2^53, which no queue reaches. */
  queueOffset: number
  /** How safely it is stored; every one of them is a success. */
  status: 'Stored' | 'FlushDiskTimeout' | 'FlushSlaveTimeout' | 'SlaveNotAvailable'
  /** How many attempts it took. */
  attempts: number
  /** What a message sent for later can be taken back with; see {@link Producer.recall}. */
  recallHandle?: string
}

/** What a delivery needs of its consumer. */
export interface Settler {
  ack(upper: number, lower: number): Promise<void>
  handBack(upper: number, lower: number, delayMs: number): Promise<void>
  reject(upper: number, lower: number, delivery: Delivery, reason: string): Promise<void>
}

/** Messages that came together, in one buffer. See `write_frame` in src/message.rs. */
export class Frame {
  readonly bytes: Buffer
  readonly view: DataView
  readonly settler: Settler
  #next = 0

  constructor(bytes: Buffer, settler: Settler) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.settler = settler
  }

  /** The next message that nobody has taken yet. */
  shift(): Delivery | undefined {
    const at = this.#next
    if (at >= this.bytes.length) return undefined
    this.#next = at + this.view.getUint32(at)
    return new Delivery(this, at)
  }

  /** Leaves the rest; returns how many that were. */
  abandon(): number {
    let count = 0
    for (; this.#next < this.bytes.length; count++) this.#next += this.view.getUint32(this.#next)
    return count
  }
}

/** Length of a message's head in a frame. */
const HEAD = 64

const SETTLED = Promise.resolve()

/**
 * A message received, to be settled with {@link ack}, {@link nack} or {@link reject}, in any order.
 *
 * One that is never settled holds the group's progress back and is delivered again once the
 * consumer has ended. Fields are read when asked for; keeping a delivery keeps the up to 256 KiB of
 * messages that came with it, unless you keep `copyBody()` instead.
 */
export class Delivery {
  readonly #frame: Frame
  readonly #at: number
  #properties: Readonly<Record<string, string>> | undefined
  #isSettled = false

  /** @internal */
  constructor(frame: Frame, at: number) {
    this.#frame = frame
    this.#at = at
  }

  /** The body, decompressed: a view of the bytes that came. */
  get body(): Buffer {
    const start = this.#at + HEAD
    return this.#frame.bytes.subarray(start, start + this.#bodyLength)
  }

  /** A copy of the body, which keeps nothing else in memory. */
  copyBody(): Buffer {
    return Buffer.from(this.body)
  }

  /** The body as UTF-8 text. */
  text(): string {
    const start = this.#at + HEAD
    return this.#frame.bytes.toString('utf8', start, start + this.#bodyLength)
  }

  /** The topic that it was sent to, also when it comes back after a `nack`. */
  get topic(): string {
    const start = this.#propertiesStart + this.#propertiesLength
    return this.#text(start, this.#topicLength)
  }

  /** The queue that it was read from; for one that was handed back, one of the group's retry topic. */
  get queue(): MessageQueue {
    const topicAt = this.#propertiesStart + this.#propertiesLength + this.#topicLength
    const topicLength = this.#frame.view.getUint16(this.#at + 58)
    return {
      topic: this.#text(topicAt, topicLength),
      brokerName: this.#text(topicAt + topicLength, this.#brokerLength),
      queueId: this.#frame.view.getInt32(this.#at + 12),
    }
  }

  /** Its place in its queue, from 0. A number: exact up to 2^53, which no queue reaches. */
  get queueOffset(): number {
    return this.#frame.view.getFloat64(this.#at + 16)
  }

  /** How often it was handed back before; 0 the first time. */
  get reconsumeTimes(): number {
    return this.#frame.view.getInt32(this.#at + 4)
  }

  /** The application's flag. */
  get flag(): number {
    return this.#frame.view.getInt32(this.#at + 8)
  }

  /** When it was sent, by the producer's clock; milliseconds since the Unix epoch. */
  get bornTimestamp(): number {
    return this.#frame.view.getFloat64(this.#at + 24)
  }

  /** When it was stored, by the broker's clock; milliseconds since the Unix epoch. */
  get storeTimestamp(): number {
    return this.#frame.view.getFloat64(this.#at + 32)
  }

  /** The producer's address. */
  get bornHost(): string {
    return this.#text(this.#idStart + this.#idLength, this.#frame.view.getUint8(this.#at + 63))
  }

  /** Where the broker keeps this copy of it. */
  get offsetMessageId(): string {
    return this.#text(this.#idStart, this.#idLength)
  }

  /** The id that the producer gave it, the same for every copy; or {@link offsetMessageId}. */
  get messageId(): string {
    return this.properties.UNIQ_KEY ?? this.offsetMessageId
  }

  /** The tag. */
  get tag(): string | undefined {
    return this.properties.TAGS
  }

  /** The keys. */
  get keys(): string[] {
    return (this.properties.KEYS ?? '').split(' ').filter((key) => key !== '')
  }

  /** All properties, RocketMQ's own included. */
  get properties(): Readonly<Record<string, string>> {
    this.#properties ??= decodeProperties(this.#text(this.#propertiesStart, this.#propertiesLength))
    return this.#properties
  }

  /** Whether `ack`, `nack` or `reject` was called. */
  get isSettled(): boolean {
    return this.#isSettled
  }

  /**
   * It is done. Takes effect at once; brokers are told of progress every few seconds. Rejects with
   * a `ClosedError` once the consumer has ended: the message will be delivered again.
   */
  ack(): Promise<void> {
    if (this.#isSettled) return SETTLED
    this.#isSettled = true
    return this.#frame.settler.ack(this.#upper, this.#lower)
  }

  /**
   * It could not be done now: it is delivered again after at least `delayMs`, rounded up to one of
   * the broker's delay levels. Without a delay the broker chooses, longer from time to time. After
   * too many times it goes to the dead-letter topic. Rejects if the broker could not be told: then
   * the message is still to be settled.
   */
  nack(delayMs = 0): Promise<void> {
    if (this.#isSettled) return SETTLED
    return this.#handBack(this.#frame.settler.handBack(this.#upper, this.#lower, delayMs))
  }

  /**
   * It can never be done: it goes to the group's dead-letter topic, and `reason` to the log.
   * Rejects if the broker could not be told: then the message is still to be settled.
   */
  reject(reason: string): Promise<void> {
    if (this.#isSettled) return SETTLED
    return this.#handBack(this.#frame.settler.reject(this.#upper, this.#lower, this, reason))
  }

  async #handBack(handedBack: Promise<void>): Promise<void> {
    this.#isSettled = true
    try {
      await handedBack
    } catch (error) {
      this.#isSettled = false
      throw error
    }
  }

  [inspect.custom](): object {
    const { topic, messageId, tag, keys, queue, queueOffset, reconsumeTimes, body } = this
    return { topic, messageId, tag, keys, queue, queueOffset, reconsumeTimes, body }
  }

  get #upper(): number {
    return this.#frame.view.getUint32(this.#at + 40)
  }

  get #lower(): number {
    return this.#frame.view.getUint32(this.#at + 44)
  }

  get #bodyLength(): number {
    return this.#frame.view.getUint32(this.#at + 48)
  }

  get #propertiesStart(): number {
    return this.#at + HEAD + this.#bodyLength
  }

  get #propertiesLength(): number {
    return this.#frame.view.getUint32(this.#at + 52)
  }

  get #topicLength(): number {
    return this.#frame.view.getUint16(this.#at + 56)
  }

  get #brokerLength(): number {
    return this.#frame.view.getUint16(this.#at + 60)
  }

  get #idStart(): number {
    const queueTopicLength = this.#frame.view.getUint16(this.#at + 58)
    const topicsLength = this.#topicLength + queueTopicLength
    return this.#propertiesStart + this.#propertiesLength + topicsLength + this.#brokerLength
  }

  get #idLength(): number {
    return this.#frame.view.getUint8(this.#at + 62)
  }

  #text(start: number, length: number): string {
    return this.#frame.bytes.toString('utf8', start, start + length)
  }
}

/** Reads `name 0x01 value 0x02`, repeated; the last one wins where a name stands twice. */
function decodeProperties(encoded: string): Record<string, string> {
  const pairs: [string, string][] = []
  for (const pair of encoded.split('\u0002')) {
    const end = pair.indexOf('\u0001')
    if (end > 0 && end < pair.length - 1) pairs.push([pair.slice(0, end), pair.slice(end + 1)])
  }
  // Own properties whatever their names: `__proto__` is one, too.
  return Object.fromEntries(pairs)
}
