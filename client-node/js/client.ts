/** The client: what an application makes first, and everything else from. */
import { PushConsumer, type ConsumerOptions, type Subscriptions } from './consumer.js'
import { closedError } from './error.js'
import { hub, request } from './loop.js'
import type { NativeClient } from './native.js'
import { Producer, type ProducerOptions } from './producer.js'

/** Options of {@link connect}. */
export interface ConnectOptions {
  /** The first part of the client's id, which operators see. Default: `oxmq`. */
  instanceName?: string
  /**
   * Where to connect instead, for each address that cannot be reached as the cluster advertises it:
   * `{ '10.0.0.5:10911': 'localhost:32771' }`.
   */
  addressMap?: Readonly<Record<string, string>>
  /** The user that signs every request, for a cluster that asks for it (RocketMQ's ACL). */
  credentials?: { readonly accessKey: string; readonly secretKey: string }
  /** How long connecting may take. Default: 5,000. */
  connectTimeoutMs?: number
}

/**
 * Connects to the cluster of these name servers: `host:port`, several separated by `;`.
 *
 * The client does not keep the process running by itself; what waits for an outcome or for a
 * message does.
 */
export async function connect(nameServers: string, options: ConnectOptions = {}): Promise<Client> {
  const { addressMap, credentials, ...others } = options
  const signer = credentials === undefined ? {} : credentials
  const map = addressMap === undefined ? {} : { addressMap: Object.entries(addressMap).flat() }
  const native = await request(
    (tag) => hub.connect(tag, nameServers, { ...others, ...map, ...signer }),
    (tag) => hub.takeClient(tag)!,
  )
  return new Client(native)
}

/** One client of one cluster: its connections, routes and heartbeats. */
export class Client {
  readonly #native: NativeClient
  readonly #open = new Set<Producer | PushConsumer>()
  #closed: Promise<void> | undefined

  /** @internal */
  constructor(native: NativeClient) {
    this.#native = native
  }

  /** As brokers know this client. */
  get clientId(): string {
    return this.#native.clientId
  }

  /** Makes a producer. The group's name tells operators who sends. */
  async producer(group: string, options: ProducerOptions = {}): Promise<Producer> {
    this.#checkOpen('start producer')
    const native = await request(
      (tag) => this.#native.producer(tag, group, { ...options }),
      (tag) => hub.takeProducer(tag)!,
    )
    const producer = new Producer(native, group, options, (closed) => this.#open.delete(closed))
    this.#open.add(producer)
    return producer
  }

  /**
   * Makes a consumer, which joins its group when it is first used. The members of a group share the
   * messages of the topics that they subscribe to, all in the same way.
   */
  pushConsumer(
    group: string,
    subscriptions: Subscriptions,
    options: ConsumerOptions = {},
  ): PushConsumer {
    this.#checkOpen('start consumer')
    const onClose = (closed: PushConsumer): void => void this.#open.delete(closed)
    const consumer = new PushConsumer(this.#native, group, subscriptions, options, onClose)
    this.#open.add(consumer)
    return consumer
  }

  /** Ends its consumers, waits for its producers' sends, and ends the connections. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#open].map((one) => one.close()))
    this.#native.close()
  }

  #checkOpen(operation: string): void {
    if (this.#closed !== undefined) throw closedError(operation, 'the client is closed')
  }
}
